/** What each command is asked to do, and what all of them need. */
import type { Connection } from "./api/connection.ts";
import type { Wanted } from "./prices.ts";

export interface CommandWorld {
  readonly connection: Connection;
  /** Aborts when the user interrupts. */
  readonly signal: AbortSignal;
  readonly print: (line: string) => void;
}

export interface StatusOptions {
  readonly fleet: string;
  readonly stateFolder: string;
  readonly isJson: boolean;
  /** The coordinator's API; null: the one that `up` was given. */
  readonly coordinator: string | null;
}

export interface LogsOptions {
  readonly fleet: string;
  /** Name or id; null: all. */
  readonly pod: string | null;
  readonly isFollowing: boolean;
  /** Lines of each pod. */
  readonly tail: number;
}

export interface DownOptions {
  /** Null: all fleets. */
  readonly fleet: string | null;
  readonly stateFolder: string;
  /** How long a RunPod that does not answer is asked again. */
  readonly patienceMs: number;
}

export interface UpOptions {
  readonly kind: "up";
  readonly fleet: string;
  readonly stateFolder: string;
  readonly wanted: Wanted;
  readonly count: number;
  readonly joinUrl: string;
  /** Null: neither given nor known from the join URL. */
  readonly coordinatorUrl: string | null;
  readonly image: string;
  readonly budget: number | null;
  readonly jobId: string | null;
  readonly untilDone: boolean;
  readonly idleMinutes: number | null;
  readonly diskGb: number;
  readonly volumeId: string | null;
  readonly dataCenters: readonly string[];
  readonly registry: string | null;
  readonly env: Readonly<Record<string, string>>;
  readonly isConfirmed: boolean;
}

export type Options =
  | UpOptions
  | { readonly kind: "status" } & StatusOptions
  | { readonly kind: "logs" } & LogsOptions
  | { readonly kind: "down" } & DownOptions;
