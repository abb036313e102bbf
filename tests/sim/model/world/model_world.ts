/** What all model workers of a simulation share. */
import type { ArtifactStore } from "../../../../coordinator/storage/artifact_store.ts";
import type { Limits } from "../../../../shared/protocol/limits.ts";
import type { Prng } from "../../../../shared/prng.ts";
import type { MemoryArtifacts } from "../../memory_artifacts.ts";
import type { Decoded } from "./decoded.ts";
import type { ModelLink } from "./model_link.ts";
import type { Rounds } from "./model_rounds.ts";

export interface ModelWorld {
  readonly limits: Limits;
  readonly random: Prng;
  readonly artifacts: MemoryArtifacts & ArtifactStore;
  readonly decoded: Decoded;
  readonly rounds: Rounds;
  /** Bytes of one gradient: 4 for each parameter, and on the wire. */
  readonly gradientBytes: number;
  readonly wireBytes: number;
  /** For a state's way from worker to worker. */
  linkOf(worker: string): ModelLink | null;
  note(who: string, what: string): void;
  /** Counts a computed micro-batch. */
  computed(): void;
  /** How often a worker adds a counted micro-batch: once, unless a test plants a fault. */
  timesAdded(worker: string, number: number): number;
}

/** Time to fetch and load the base model. */
export const LOAD_MS = 3000;
/** The optimizer on the CPU, in parameters a millisecond. */
const UPDATED_PER_MS = 100_000;

export function updateMs(gradientBytes: number): number {
  return 20 + gradientBytes / 4 / UPDATED_PER_MS;
}
