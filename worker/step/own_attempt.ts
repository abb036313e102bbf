/** This worker's side of a job: its engine's state, and its progress in the current attempt. */
import type { MemberRef, StepState } from "../../shared/protocol/messages_coordinator.ts";
import type { Committed } from "../../shared/protocol/messages_worker.ts";
import type { RoundId } from "../allreduce/round/round_id.ts";
import type { AttemptId, OwnState } from "./step_action.ts";

/** The engine's state. Outlives memberships: a reported update may be committed while this worker is away. */
export interface HeldState {
  readonly committed: Committed;
  /** The update beside it, and its attempt. */
  readonly pending: { readonly attempt: AttemptId; readonly update: Committed } | null;
}

export class OwnAttempt {
  #own: OwnState;
  readonly #onHeld: (held: HeldState) => void;
  /** Positions within the step of the micro-batches in this worker's sums. */
  readonly counted = new Set<number>();
  /** Ids of the attempt's assignments that this worker has begun. */
  readonly begun = new Set<number>();
  /** The last entered round, whose chunks others may still need. */
  round: RoundId | null = null;

  /** @param onHeld called before the engine is asked to change its committed state */
  constructor(self: MemberRef, { committed, pending }: HeldState, onHeld: (held: HeldState) => void) {
    this.#onHeld = onHeld;
    const [attempt, update] = [pending?.attempt ?? null, pending?.update ?? null];
    this.#own = {
      self,
      committed,
      attempt,
      pending: update,
      spentIn: null,
      checkpoint: null,
      failedEvaluation: null,
    };
  }

  get own(): OwnState {
    return this.#own;
  }

  begin(attempt: AttemptId): void {
    this.#change({ attempt });
  }

  /** This worker has done its part of the attempt under this generation, or has failed. */
  spend(generation: number): void {
    this.#change({ spentIn: generation });
  }

  setPending(pending: Committed | null): void {
    this.#change({ pending });
    this.#reportHeld();
  }

  recovered(committed: Committed): void {
    this.#change({ committed });
    this.#reportHeld();
  }

  failEvaluation({ term, committed }: StepState): void {
    this.#change({ failedEvaluation: { term, step: committed!.step } });
  }

  checkpointReported({ term, generation }: StepState, step: number): void {
    this.#change({ checkpoint: { term, generation, step } });
  }

  /** The attempt is over and leaves this commit. */
  end(committed: Committed): void {
    this.#change({ committed, attempt: null, pending: null, spentIn: null });
    this.counted.clear();
    this.begun.clear();
    this.round = null;
    this.#reportHeld();
  }

  #change(change: Partial<OwnState>): void {
    this.#own = { ...this.#own, ...change };
  }

  #reportHeld(): void {
    const { committed, attempt, pending } = this.#own;
    this.#onHeld({ committed, pending: pending === null ? null : { attempt: attempt!, update: pending } });
  }
}
