/** The messages between a worker's main thread and its engine thread: one call, one answer, and what comes between the two. */
import type { ThreadFailure } from "../async/thread_messages.ts";
import type { Engine } from "./engine.ts";

/** A call of one of the engine's methods. */
export type EngineCall = {
  [K in keyof Engine]: { readonly id: number; readonly method: K; readonly args: Parameters<Engine[K]> };
}[keyof Engine];

/** What somebody should read, beside the answers: a sentence for the log. */
export interface EngineNote {
  readonly note: string;
  /** The GPU was reset. */
  readonly isReset?: boolean;
  /** Why it was reset, where it is repaired. */
  readonly reason?: string;
  /** The GPU resets again and again: the worker must end. */
  readonly isBroken?: boolean;
}

/** How far the sums are that the call `id` reads. */
export interface EngineProgress {
  readonly id: number;
  readonly sums: Int32Array;
  readonly count: number;
}

export type EngineAnswer =
  | { readonly id: number; readonly ok: true; readonly value: unknown }
  | { readonly id: number; readonly ok: false; readonly error: ThreadFailure };
