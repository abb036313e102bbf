/**
 * The hot path: one optimizer step on one worker (docs/protocol.md).
 *
 *     takeWork → compute → claim → accumulate → ack      for each micro-batch that this worker gets, or each inner loop of a
 *                                                        job with local steps
 *     takeWork → compute → gradientDigest → claim        for each micro-batch that it is assigned to audit
 *     readSums → all-reduce → update → report            once all micro-batches are counted
 *     takeWork → evaluate → report → ack                  for each micro-batch of the validation rows that this worker gets
 *     commit | rollback                                  as the coordinator announces
 *
 * This folder alone knows both the GPU and the all-reduce. step_action.ts decides what is done when; every call of the engine is
 * awaited before the next.
 */
import type { StepState } from "../../shared/protocol/messages_coordinator.ts";
import type { Committed } from "../../shared/protocol/messages_worker.ts";
import { compute } from "./compute.ts";
import { evaluate } from "./evaluate.ts";
import { inAttempt } from "./in_attempt.ts";
import { reduceAndUpdate } from "./reduce.ts";
import { attemptOf, isOver, isRoundOver, type OwnState } from "./step_action.ts";
import { createStepContext, type StepContext, type TrainStepOptions } from "./step_context.ts";
import { takeWork } from "./take_work.ts";

export class TrainStep {
  readonly #step: StepContext;

  constructor(options: TrainStepOptions) {
    this.#step = createStepContext(options);
  }

  get own(): OwnState {
    return this.#step.mine.own;
  }

  /** Computes one micro-batch, or waits for one until the state changes. */
  async computeNext(state: StepState): Promise<void> {
    const work = await takeWork(this.#step, state);
    if (work === null) return;
    const isSameAttempt = (newer: StepState) => !isOver(attemptOf(state), newer);
    await inAttempt(this.#step, state, isSameAttempt, (signal) => compute(this.#step, work, state, signal));
  }

  /** Evaluates one micro-batch of the validation rows, or waits for one until the state changes. */
  async evaluateNext(state: StepState): Promise<void> {
    const work = await takeWork(this.#step, state);
    if (work !== null) await evaluate(this.#step, work, state);
  }

  async reduce(state: StepState): Promise<void> {
    const isSameRound = (newer: StepState) => !isRoundOver(state, newer);
    await inAttempt(this.#step, state, isSameRound, (signal) => reduceAndUpdate(this.#step, state, signal));
  }

  async commit(): Promise<void> {
    const { allReduce, engine, mine } = this.#step;
    if (mine.round !== null) allReduce.commit(mine.round);
    // Update `own` before the engine, so that a concurrent export reports the new commit.
    this.#endAttempt(mine.own.pending!);
    await engine.commit();
  }

  async rollback(): Promise<void> {
    this.#endAttempt(this.own.committed);
    await this.#step.engine.rollback();
  }

  /** The engine holds a different committed state, loaded from a peer. */
  recovered(committed: Committed): void {
    this.#step.mine.recovered(committed);
  }

  checkpointReported(state: StepState, checkpointStep: number): void {
    this.#step.mine.checkpointReported(state, checkpointStep);
  }

  /** Gives up micro-batches that it will not compute. */
  letGo(): void {
    this.#step.source.letGo();
  }

  close(): void {
    this.letGo();
    this.#step.allReduce.close();
  }

  #endAttempt(committed: Committed): void {
    const { allReduce, mine } = this.#step;
    if (mine.round !== null) allReduce.release(mine.round);
    mine.end(committed);
  }
}
