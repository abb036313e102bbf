/** Watches a job's losses: whether they diverge, and a warning if they do not move. */
import type { Clock } from "../../../shared/clock.ts";
import { stuckLoss, stuckLossStep } from "../../planning/evaluation/stuck_loss.ts";
import type { PlannedJob } from "../../planning/planned_job.ts";
import type { JobStore } from "../stores/job_store.ts";
import { committedLosses } from "./committed_losses.ts";
import { type LossWatch, NO_LOSSES, storedLosses, suspectSteps, watchLoss } from "./divergence.ts";

export interface LossGuardParts {
  readonly store: Pick<JobStore, "eventsSince">;
  readonly clock: Pick<Clock, "sleep">;
}

export class LossGuard {
  readonly #parts: LossGuardParts;
  readonly #job: PlannedJob;
  readonly #warn: (message: string, step: number) => void;
  #watch: LossWatch = NO_LOSSES;

  constructor(parts: LossGuardParts, job: PlannedJob, warn: (message: string, step: number) => void) {
    this.#parts = parts;
    this.#job = job;
    this.#warn = warn;
  }

  /** Training continues after this step. */
  starting(step: number): void {
    this.#watch = storedLosses(this.#parts.store, this.#job.id, step, this.#job.spec.resumed_state?.step);
  }

  /** Newest steps that are part of a divergence, or lead to it. */
  get suspectSteps(): number {
    return suspectSteps(this.#watch);
  }

  /** After each commit, whose event is stored. Returns why the training diverges; null if it does not. */
  async committed(step: number, loss: number): Promise<string | null> {
    const { watch, reason } = watchLoss(this.#watch, step, loss);
    this.#watch = watch;
    // A job that goes on from an earlier one's state begins where that one's loss had come down to.
    const isOfStart = this.#job.spec.resumed_state === undefined;
    if (reason !== null || !isOfStart || step !== stuckLossStep(this.#job.totalSteps)) return reason;
    const warning = stuckLoss(await committedLosses(this.#parts, this.#job.id, step));
    if (warning !== null) this.#warn(warning, step);
    return null;
  }
}
