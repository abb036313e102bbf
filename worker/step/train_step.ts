/**
 * The hot path: one optimizer step on one worker (docs/protocol.md).
 *
 *     takeWork → compute → claim → accumulate → ack      for each micro-batch that this worker gets, or each inner loop of a
 *                                                        job with local steps
 *     takeWork → compute → gradientDigest → claim        for each micro-batch that it is assigned to audit
 *     takeSums → all-reduce → update → report            once all micro-batches are counted
 *     commit | rollback                                  as the coordinator announces
 *
 * This folder alone knows both the GPU and the all-reduce. step_action.ts decides what is done when; every call of the engine is
 * awaited before the next.
 */
import type { StepState } from "../../shared/protocol/messages_coordinator.ts";
import type { Committed } from "../../shared/protocol/messages_worker.ts";
import { compute } from "./compute.ts";
import { inAttempt } from "./in_attempt.ts";
import { reduceAndUpdate } from "./reduce.ts";
import { attemptOf, isOver, isRoundOver, type OwnState } from "./step_action.ts";
import { createStepContext, type StepContext, type TrainStepOptions } from "./step_context.ts";
import { takeWork } from "./take_work.ts";

export interface TrainStep {
  readonly own: OwnState;
  /** Computes one micro-batch, or waits for one until the state changes. */
  computeNext(state: StepState): Promise<void>;
  /** The round and the update. */
  reduce(state: StepState): Promise<void>;
  commit(): Promise<void>;
  rollback(): Promise<void>;
  /** The engine holds a different committed state, loaded from a peer. */
  recovered(committed: Committed): void;
  checkpointReported(state: StepState, step: number): void;
  /** Gives up micro-batches that it will not compute. */
  letGo(): void;
  close(): void;
}

export function createTrainStep(options: TrainStepOptions): TrainStep {
  const step = createStepContext(options);
  const { engine, mine, source, allReduce } = step;
  return {
    get own() {
      return mine.own;
    },
    async computeNext(state) {
      const work = await takeWork(step, state);
      if (work === null) return;
      const isSameAttempt = (newer: StepState) => !isOver(attemptOf(state), newer);
      await inAttempt(step, state, isSameAttempt, (signal) => compute(step, work, state, signal));
    },
    async reduce(state) {
      const isSameRound = (newer: StepState) => !isRoundOver(state, newer);
      await inAttempt(step, state, isSameRound, (signal) => reduceAndUpdate(step, state, signal));
    },
    async commit() {
      if (mine.round !== null) allReduce.commit(mine.round);
      // Update `own` before the engine, so that a concurrent export reports the new commit.
      endAttempt(step, mine.own.pending!);
      await engine.commit();
    },
    async rollback() {
      endAttempt(step, mine.own.committed);
      await engine.rollback();
    },
    recovered: (committed) => mine.recovered(committed),
    checkpointReported: (state, checkpointStep) => mine.checkpointReported(state, checkpointStep),
    letGo: () => source.letGo(),
    close: () => {
      source.letGo();
      allReduce.close();
    },
  };
}

function endAttempt({ mine, allReduce }: StepContext, committed: Committed): void {
  if (mine.round !== null) allReduce.release(mine.round);
  mine.end(committed);
}
