/**
 * The hot path: one optimizer step on one worker, as docs/protocol.md has it.
 *
 *     take → computeGradient → claim → accumulate → acknowledge      for each micro-batch that this worker gets
 *     takeSums → all-reduce → update → report                        once all of them are counted
 *     commit | rollback                                              as the coordinator announces
 *
 * The only place where the GPU and the all-reduce meet. When to do what is decided in step_action.ts; every call of the engine
 * is awaited before the next.
 */
import type { z } from "zod";
import type { Bus, WorkItem } from "../shared/bus/bus.ts";
import type { Clock } from "../shared/clock.ts";
import { LoraFleetError, messageOf, quote } from "../shared/errors.ts";
import type { Limits } from "../shared/limits.ts";
import {
  attemptFailureSchema,
  type Committed,
  decodeWorkItemHeader,
  decodeWorkItemRows,
  encodeFloats,
  encodeMessage,
  type JobAnnouncement,
  type MemberRef,
  microBatchReportSchema,
  receivedSchema,
  type StepState,
  updateReportSchema,
  verdictAnswerSchema,
  type WorkItemHeader,
} from "../shared/messages.ts";
import { failureSubject, gradientSubjects, reportSubject, updateSubject } from "../shared/subjects.ts";
import { createAllReduce } from "./allreduce/all_reduce.ts";
import { RoundTimeout } from "./allreduce/round_timeout.ts";
import { askUntilAnswered } from "./ask.ts";
import type { Engine, MicroBatchResult } from "./engine/engine.ts";
import type { Log } from "./log.ts";
import { type AttemptId, attemptOf, isOver, type OwnState, placeOf } from "./step_action.ts";
import type { StepStates } from "./step_states.ts";
import { createWorkSource, keepExtended } from "./work_source.ts";

export interface TrainStepOptions {
  readonly job: JobAnnouncement;
  readonly self: MemberRef;
  readonly engine: Engine;
  /** Heartbeats, claims and the work queue; megabytes go over `gradients`. */
  readonly control: Bus;
  readonly gradients: Bus;
  readonly states: StepStates;
  readonly clock: Clock;
  readonly limits: Limits;
  readonly log: Log;
  /** The state that the engine holds at the beginning. */
  readonly committed: Committed;
  /** Told before the engine is asked to change its state. */
  readonly onCommitted: (committed: Committed) => void;
  readonly onBusy: (
    busy: { readonly step: number; readonly attempt: number; readonly index: number } | null,
  ) => void;
  readonly onComputed: (tokenCount: number) => void;
  /** Payload bytes of gradients, of this worker's earlier sessions. */
  readonly gradientBytesBefore: number;
}

export interface TrainStep {
  readonly own: OwnState;
  readonly gradientBytesSent: number;
  /** Takes one micro-batch, or waits for one until the state changes. */
  computeNext(state: StepState): Promise<void>;
  /** The round and the update. */
  reduce(state: StepState): Promise<void>;
  commit(): Promise<void>;
  rollback(): Promise<void>;
  /** The engine holds another state now, taken from elsewhere. */
  recovered(committed: Committed): void;
  checkpointReported(step: number): void;
  /** Gives micro-batches back that it would not compute. */
  letGo(): void;
  close(): void;
}

/** Why an attempt cannot go on, and who is to blame. */
class AttemptProblem extends LoraFleetError {
  readonly suspects: readonly string[];

  constructor(message: string, suspects: readonly string[]) {
    super("conflict", message);
    this.suspects = suspects;
  }
}

export function createTrainStep(options: TrainStepOptions): TrainStep {
  const { job, self, engine, control, states, clock, limits, log } = options;
  const { jobId, startId } = job;
  const allReduce = createAllReduce({
    bus: options.gradients,
    jobId,
    startId,
    self: self.worker,
    subjects: gradientSubjects(jobId),
    clock,
  });
  const source = createWorkSource({ bus: control, jobId, clock, limits, signal: states.closed, log });
  const gradientBytesSent = () => options.gradientBytesBefore + allReduce.stats.bytesSent;
  let own: OwnState = {
    self,
    committed: options.committed,
    attempt: null,
    pending: null,
    isSpent: false,
    checkpointStep: 0,
  };
  /** Positions within the step of the micro-batches in the engine's sums. */
  const counted = new Set<number>();
  let lastClaim = 0;

  function ask<S extends z.ZodType>(subject: string, data: Uint8Array, answer: S, signal: AbortSignal) {
    const timeoutMs = limits.requestTimeoutMs;
    return askUntilAnswered({ bus: control, clock, subject, data, answer, timeoutMs, signal });
  }

  /** Sums and pending update belong to the state's attempt from here on. */
  function enter(state: StepState): AttemptId {
    const attempt = attemptOf(state);
    if (own.attempt === null) own = { ...own, attempt, isSpent: false };
    return attempt;
  }

  /** Runs one part of the attempt; what goes wrong in it, unless the attempt is over anyway, is reported. */
  async function during(state: StepState, part: (signal: AbortSignal) => Promise<void>): Promise<void> {
    const attempt = enter(state);
    const watch = states.watch((newer) => !isOver(attempt, newer));
    try {
      await part(watch.signal);
    } catch (thrown) {
      if (watch.signal.aborted) return;
      own = { ...own, isSpent: true };
      await reportFailure(attempt, thrown, watch.signal);
    } finally {
      watch.end();
    }
  }

  async function reportFailure(attempt: AttemptId, thrown: unknown, signal: AbortSignal): Promise<void> {
    const reason = messageOf(thrown).slice(0, 4000);
    log("warn", `step ${attempt.step}, attempt ${attempt.attempt} failed here: ${reason}`);
    const report = encodeMessage(attemptFailureSchema, {
      ...self,
      step: attempt.step,
      attempt: attempt.attempt,
      reason,
      suspects: [...suspectsOf(thrown, self.worker)],
      gradientBytesSent: gradientBytesSent(),
    });
    await ask(failureSubject(jobId), report, receivedSchema, signal).catch((failed) => {
      if (!signal.aborted) throw failed;
    });
  }

  async function computeNext(state: StepState): Promise<void> {
    enter(state);
    const item = await source.take(() => states.after(state));
    if (item === null) return;
    let header: WorkItemHeader;
    try {
      header = decodeWorkItemHeader(item.data);
    } catch (thrown) {
      drop(item);
      return await during(state, () => Promise.reject(thrown));
    }
    const isForeign = header.jobId !== jobId || header.startId !== startId ||
      header.specHash !== job.specHash;
    const place = isForeign ? "older" : placeOf(header, state);
    if (place === "newer" && await isAnnouncedSoon(state)) return;
    if (place === "newer") return source.letGo();
    // It came again, since an acknowledgement was lost, or it is of an attempt that is over.
    if (place === "older" || counted.has(header.index)) return drop(item);
    source.done();
    await during(state, (signal) => compute(item, header, state, signal));
  }

  async function compute(item: WorkItem, header: WorkItemHeader, state: StepState, signal: AbortSignal) {
    const working = new AbortController();
    keepExtended(item, clock, limits, working.signal);
    options.onBusy({ step: header.step, attempt: header.attempt, index: header.index });
    try {
      const batch = decodeWorkItemRows(item.data);
      const startedAt = clock.now();
      const result = await engine.computeGradient(batch, header.number);
      options.onComputed(batch.tokens.length);
      signal.throwIfAborted();
      const { verdict } = await claim(header, result, clock.now() - startedAt, signal);
      if (verdict === "counted" && state.exponents !== null) {
        await engine.accumulate(exponentBytes(state.exponents));
        counted.add(header.index);
      }
      if (verdict === "unknown") log("error", `the coordinator knows no micro-batch ${header.index}`);
      acknowledge(item);
    } catch (thrown) {
      // Of no use to anybody once the attempt is over; else somebody else takes it at once.
      if (signal.aborted && !states.closed.aborted) acknowledge(item);
      else item.release();
      throw thrown;
    } finally {
      working.abort();
      options.onBusy(null);
    }
  }

  function claim(header: WorkItemHeader, result: MicroBatchResult, computeMs: number, signal: AbortSignal) {
    const report = encodeMessage(microBatchReportSchema, {
      ...self,
      step: header.step,
      attempt: header.attempt,
      index: header.index,
      claim: ++lastClaim,
      lossSum: Number.isFinite(result.lossSum) ? result.lossSum : null,
      targetCount: result.targetCount,
      maxAbs: encodeFloats(result.maxAbs),
      computeMs,
    });
    return ask(reportSubject(jobId), report, verdictAnswerSchema, signal);
  }

  function reduce(state: StepState): Promise<void> {
    return during(state, async (signal) => {
      own = { ...own, isSpent: true };
      assertLedger(state);
      const { step, attempt, generation, exponents, targetCount, learningRate } = state;
      if (exponents === null) throw new AttemptProblem("the round has no exponents: nothing was summed", []);
      const members = state.members.map(({ worker }) => worker);
      const { sums } = await allReduce.reduce({
        round: { step, attempt, generation },
        members,
        sums: await engine.takeSums(),
        signal,
        deadlineMs: state.roundMs,
      });
      const { gradientNorm, digest } = await engine.update({
        sums,
        exponents: exponentBytes(exponents),
        targetCount,
        learningRate,
        updateNumber: step,
        ...job.optimizer,
      });
      if (!Number.isFinite(gradientNorm)) {
        throw new AttemptProblem(
          `the gradient's norm is ${gradientNorm} over ${targetCount} target tokens: the update would spoil the adapter`,
          [],
        );
      }
      own = { ...own, pending: { step, digest } };
      const report = encodeMessage(updateReportSchema, {
        ...self,
        step,
        attempt,
        digest,
        gradientNorm,
        gradientBytesSent: gradientBytesSent(),
      });
      await ask(updateSubject(jobId), report, receivedSchema, signal);
    });
  }

  /** Sums that the coordinator has in mind otherwise would be wrong on every worker. */
  function assertLedger(state: StepState): void {
    const index = state.members.findIndex(({ worker }) => worker === self.worker);
    const wanted = state.ledger.flatMap((owner, microBatch) => owner === index ? [microBatch] : []);
    const has = [...counted].sort((a, b) => a - b);
    if (state.ledger.length === state.microBatchCount && quoteAll(wanted) === quoteAll(has)) return;
    throw new AttemptProblem(
      `the ledger of ${state.ledger.length} micro-batches gives this worker ${quote(wanted)}, its sums hold ${
        quote(has)
      }`,
      [self.worker],
    );
  }

  /** The coordinator announces an attempt as it fills the queue: whichever comes first. */
  async function isAnnouncedSoon(seen: StepState): Promise<boolean> {
    const waiting = new AbortController();
    const late = clock.sleep(
      2 * limits.announcementIntervalMs,
      AbortSignal.any([waiting.signal, states.closed]),
    );
    try {
      return await Promise.race([states.after(seen).then(() => true), late.then(() => false)]);
    } finally {
      late.catch(() => {});
      waiting.abort();
    }
  }

  function drop(item: WorkItem): void {
    source.done();
    acknowledge(item);
  }

  /** A lost acknowledgement brings the item again, and it is dropped then. */
  function acknowledge(item: WorkItem): void {
    item.ack().catch((thrown) => log("warn", messageOf(thrown)));
  }

  async function commit(): Promise<void> {
    const { pending, attempt } = own;
    // First the word, then the deed: whoever exports the state from here on gets the new one.
    own = { ...own, committed: pending!, attempt: null, pending: null, isSpent: false };
    counted.clear();
    options.onCommitted(pending!);
    await engine.commit();
    allReduce.release(attempt!);
  }

  async function rollback(): Promise<void> {
    const { attempt } = own;
    own = { ...own, attempt: null, pending: null, isSpent: false };
    counted.clear();
    await engine.rollback();
    if (attempt !== null) allReduce.release(attempt);
  }

  return {
    get own() {
      return own;
    },
    get gradientBytesSent() {
      return gradientBytesSent();
    },
    computeNext,
    reduce,
    commit,
    rollback,
    recovered: (committed) => void (own = { ...own, committed }),
    checkpointReported: (step) => void (own = { ...own, checkpointStep: step }),
    letGo: () => source.letGo(),
    close: () => {
      source.letGo();
      allReduce.close();
    },
  };
}

/** A tensor without an exponent has had no gradient but 0: any exponent adds nothing. */
function exponentBytes(exponents: readonly (number | null)[]): Int8Array {
  return Int8Array.from(exponents, (exponent) => exponent ?? 0);
}

function suspectsOf(thrown: unknown, self: string): readonly string[] {
  if (thrown instanceof RoundTimeout || thrown instanceof AttemptProblem) return thrown.suspects;
  if (thrown instanceof LoraFleetError && thrown.code === "corrupt") return [];
  // What is neither a deadline nor a disagreement is the own GPU, driver or program.
  return [self];
}

const quoteAll = (list: readonly number[]): string => list.join(",");
