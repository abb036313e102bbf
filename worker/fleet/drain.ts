/** Leaving in order: the worker finishes its attempt first, within limits. */
import type { Clock } from "../../shared/clock.ts";
import { type Limits, recoverWaitMs } from "../../shared/protocol/limits.ts";
import type { WorkerJob } from "../../shared/protocol/messages_worker.ts";
import type { JobHost } from "../job/job_host.ts";

export class Drain {
  readonly #clock: Clock;
  readonly #limits: Limits;
  readonly #started = Promise.withResolvers<void>();
  #since: number | null = null;

  constructor(clock: Clock, limits: Limits) {
    this.#clock = clock;
    this.#limits = limits;
  }

  /** Null before `start`. */
  get since(): number | null {
    return this.#since;
  }

  get started(): Promise<void> {
    return this.#started.promise;
  }

  start(): void {
    this.#since ??= this.#clock.now();
    this.#started.resolve();
  }

  /** Whether the worker may leave now: at once if the coordinator is silent, because no attempt can end then. */
  isOver(host: Pick<JobHost, "job" | "mayLeave">, hasOthers: boolean, isSilent: boolean): boolean {
    if (this.#since === null) return false;
    if (isSilent || host.mayLeave(hasOthers)) return true;
    return this.#clock.now() - this.#since > maxDrainMs(host.job, !host.mayLeave(false), this.#limits);
  }
}

/** How long a draining worker stays: for its own attempt, or until recovering peers must have fetched its state. */
export function maxDrainMs(job: WorkerJob | null, isInAttempt: boolean, limits: Limits): number {
  if (job?.phase !== "loaded") return 0;
  if (isInAttempt) return limits.drainMs;
  return Math.min(recoverWaitMs(4 * job.layout.elementCount, limits), limits.drainMs);
}
