/**
 * The hot path: one optimizer step on one worker, as docs/protocol.md has it.
 *
 *     take → computeGradient → claim → accumulate → acknowledge      for each micro-batch that this worker gets; with
 *                                                                    local steps for each phase
 *     computeGradient → gradientDigest → report                      for each that it is ordered to audit
 *     takeSums → all-reduce → update → report                        once all of them are counted
 *     commit | rollback                                              as the coordinator announces
 *
 * The only place where the GPU and the all-reduce meet. When to do what is decided in step_action.ts; every call of the engine
 * is awaited before the next.
 */
import type { Bus, WorkItem } from "../../shared/bus/bus.ts";
import type { Clock } from "../../shared/clock.ts";
import { LoraFleetError, messageOf, quote } from "../../shared/errors.ts";
import type { Limits } from "../../shared/protocol/limits.ts";
import {
  type Committed,
  decodeWorkItemHeader,
  decodeWorkItemPhase,
  decodeWorkItemRows,
  type JobAnnouncement,
  type MemberRef,
  type Order,
  type StepState,
  type WorkItemHeader,
} from "../../shared/protocol/messages.ts";
import { gradientSubjects } from "../../shared/protocol/subjects.ts";
import { createAllReduce } from "../allreduce/all_reduce.ts";
import { roundCheckOf } from "../allreduce/round_check.ts";
import type { RoundId } from "../allreduce/round_id.ts";
import { RoundTimeout } from "../allreduce/round_timeout.ts";
import type { Engine, MicroBatchResult } from "../engine/engine.ts";
import type { GradientLayout } from "../../shared/model/gradient_layout.ts";
import { exponentBytes } from "../local_steps/inner_phase.ts";
import { LocalStepsEngine } from "../local_steps/local_steps_engine.ts";
import type { Log } from "../../shared/log.ts";
import { createPhaseRows } from "../local_steps/phase_rows.ts";
import { createReports, type OrderedItem } from "./reports.ts";
import {
  type AttemptId,
  attemptOf,
  isComputed,
  isOver,
  isRoundOver,
  type OwnState,
  placeOf,
} from "./step_action.ts";
import type { StepStates } from "./step_states.ts";
import { createWorkSource, keepExtended } from "./work_source.ts";

/** What the engine holds: outlives memberships, since an update that is reported may be committed unheard. */
export interface HeldState {
  readonly committed: Committed;
  /** The update that is computed beside it, and of which attempt it is. */
  readonly pending: { readonly attempt: AttemptId; readonly update: Committed } | null;
}

/** The micro-batch that is being computed. */
export type Busy = { readonly step: number; readonly attempt: number; readonly index: number } | null;

export interface TrainStepOptions {
  readonly job: JobAnnouncement;
  readonly layout: GradientLayout;
  readonly self: MemberRef;
  readonly engine: Engine;
  readonly held: HeldState;
  /** For claims and the work queue; megabytes go over `gradients`. */
  readonly control: Bus;
  readonly gradients: Bus;
  readonly states: StepStates;
  readonly clock: Clock;
  readonly limits: Limits;
  readonly log: Log;
  /** Told before the engine is asked to change its committed state. */
  readonly onHeld: (held: HeldState) => void;
  readonly onBusy: (busy: Busy) => void;
  readonly onComputed: (tokenCount: number) => void;
  /** Payload bytes of gradients that this worker has sent earlier. */
  readonly gradientBytesBefore: number;
}

export interface TrainStep {
  readonly own: OwnState;
  readonly gradientBytesSent: number;
  /** What the link receives at its best in rounds; null where none has shown it. */
  readonly linkBytesPerSecond: number | null;
  /** Takes one micro-batch, or waits for one until the state changes. */
  computeNext(state: StepState): Promise<void>;
  /** The round and the update. */
  reduce(state: StepState): Promise<void>;
  commit(): Promise<void>;
  rollback(): Promise<void>;
  /** The engine holds another state now, taken from elsewhere. */
  recovered(committed: Committed): void;
  checkpointReported(state: StepState, step: number): void;
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
  const { job, self, engine, held, control, states, clock, limits, log } = options;
  const { jobId, startId } = job;
  const subjects = gradientSubjects(jobId);
  const allReduce = createAllReduce({
    bus: options.gradients,
    jobId,
    startId,
    self: self.worker,
    subjects,
    clock,
    codec: job.gradientCodec,
  });
  const gradientBytesSent = () => options.gradientBytesBefore + allReduce.stats.bytesSent;
  const source = createWorkSource({ bus: control, jobId, clock, limits, signal: states.closed, log });
  const reports = createReports({ bus: control, jobId, self, clock, limits, gradientBytesSent });
  /** Positions within the step of the micro-batches in this worker's sums. */
  const counted = new Set<number>();
  /** Ids of the attempt's orders to this worker that are carried out. */
  const carriedOut = new Set<number>();
  /** What the engine's sums held when they were taken in this attempt: with other members there may be another round. */
  let taken: Int32Array | null = null;
  /** The round that was entered last, whose chunks others may still need. */
  let round: RoundId | null = null;
  let own: OwnState = {
    self,
    committed: held.committed,
    attempt: held.pending?.attempt ?? null,
    pending: held.pending?.update ?? null,
    spentIn: null,
    checkpoint: null,
  };

  async function computeNext(state: StepState): Promise<void> {
    const isAttemptStill = (newer: StepState) => !isOver(attemptOf(state), newer);
    const order = state.orders.find(({ id, worker }) => worker === self.worker && !carriedOut.has(id));
    if (order !== undefined) {
      carriedOut.add(order.id);
      return await during(state, isAttemptStill, (signal) => carryOut(order, state, signal));
    }
    const item = await source.take(() => states.after(state));
    if (item === null) return;
    let header: WorkItemHeader;
    try {
      header = decodeWorkItemHeader(item.data);
    } catch (thrown) {
      drop(item);
      return await during(state, isAttemptStill, () => Promise.reject(thrown));
    }
    const isOurs = header.jobId === jobId && header.startId === startId && header.specHash === job.specHash;
    const place = isOurs ? placeOf(header, state) : "older";
    if (place === "newer") {
      if (!await isAnnouncedSoon(state)) source.putBack();
    } else if (place === "older" || counted.has(header.index)) {
      // Of an attempt that is over, or it came again since its acknowledgement was lost.
      drop(item);
    } else {
      source.done();
      await during(state, isAttemptStill, (signal) => compute(item, header, state, signal));
    }
  }

  async function compute(item: WorkItem, header: WorkItemHeader, state: StepState, signal: AbortSignal) {
    const working = new AbortController();
    keepExtended(item, clock, limits, working.signal);
    try {
      await computeAndClaim(header, item.data, null, state, signal);
      acknowledge(item);
    } catch (thrown) {
      // Of no use to anybody once the attempt is over; else somebody else takes it at once.
      if (signal.aborted && !states.closed.aborted) acknowledge(item);
      else item.release();
      throw thrown;
    } finally {
      working.abort();
    }
  }

  /** What this worker alone is asked to compute. */
  async function carryOut(order: Order, state: StepState, signal: AbortSignal): Promise<void> {
    const isAudit = order.purpose === "audit";
    if (!isAudit && counted.has(order.index)) return;
    const item = await itemOf(order, state);
    signal.throwIfAborted();
    if (item !== null) {
      await computeAndClaim(item.header, item.data, isAudit ? order.id : null, state, signal);
    }
  }

  /** Null where the order stands no more: somebody else's was counted, or nobody waits for it any longer. */
  async function itemOf({ id, index }: Order, state: StepState): Promise<OrderedItem | null> {
    const stands = (newer: StepState) =>
      isComputed(attemptOf(state), newer) && newer.orders.some((order) => order.id === id);
    const { signal, end } = states.watch(stands);
    try {
      return await reports.item({ ...attemptOf(state), index }, signal);
    } catch (thrown) {
      if (!signal.aborted) throw thrown;
      return null;
    } finally {
      end();
    }
  }

  /**
   * @param data the work item
   * @param audit the order that asks for the digest alone; null: the gradient is for the sums
   */
  async function computeAndClaim(
    header: WorkItemHeader,
    data: Uint8Array,
    audit: number | null,
    state: StepState,
    signal: AbortSignal,
  ): Promise<void> {
    const { step, attempt, index } = header;
    options.onBusy({ step, attempt, index });
    try {
      const startedAt = clock.now();
      const result = await gradientOf(header, data, state);
      signal.throwIfAborted();
      if (result === null) return;
      const isAudited = header.audit || audit !== null;
      const gradientDigest = isAudited ? await engine.gradientDigest() : null;
      signal.throwIfAborted();
      const gradientCheck = isAudited ? await checkOf(state) : null;
      signal.throwIfAborted();
      const computeMs = clock.now() - startedAt;
      const claimed = { ...result, computeMs, gradientDigest, gradientCheck, audit };
      const verdict = await reports.claim({ ...attemptOf(state), index }, claimed, signal);
      if (verdict === "counted" && audit === null && state.exponents !== null) {
        await engine.accumulate(exponentBytes(state.exponents));
        counted.add(index);
      }
      if (verdict === "unknown") log("error", `the coordinator knows no micro-batch ${index}`);
    } finally {
      options.onBusy(null);
    }
  }

  /** Of the integers that the gradient adds to the sums; null where the attempt finds the maxima alone. */
  async function checkOf({ exponents, checkSeed }: StepState): Promise<Int32Array | null> {
    return exponents === null ? null : await engine.gradientCheck(exponentBytes(exponents), checkSeed);
  }

  /** Null where it is not needed any more. */
  async function gradientOf(
    header: WorkItemHeader,
    data: Uint8Array,
    state: StepState,
  ): Promise<MicroBatchResult | null> {
    if (engine instanceof LocalStepsEngine) return await phaseOf(engine, header, data, state);
    const batch = decodeWorkItemRows(data);
    const result = await engine.computeGradient(batch, header.number);
    options.onComputed(batch.tokens.length);
    return result;
  }

  /**
   * A phase takes long: it is left as soon as the round can begin without it, since somebody else's was
   * counted.
   */
  async function phaseOf(
    engine: LocalStepsEngine,
    header: WorkItemHeader,
    data: Uint8Array,
    state: StepState,
  ): Promise<MicroBatchResult | null> {
    const phase = decodeWorkItemPhase(data);
    const { signal, end } = states.watch((newer) => isComputed(attemptOf(state), newer));
    const { term } = state;
    const rowsOf = createPhaseRows({ bus: control, clock, limits, self, term, header, phase, signal });
    try {
      return await engine.computePhase({ phase, rowsOf, onComputed: options.onComputed, signal });
    } catch (thrown) {
      if (!signal.aborted) throw thrown;
      return null;
    } finally {
      end();
    }
  }

  function reduce(state: StepState): Promise<void> {
    const isRoundStill = (newer: StepState) => !isRoundOver(state, newer);
    return during(state, isRoundStill, async (signal) => {
      const { term, step, attempt, generation, exponents, targetCount, learningRate } = state;
      own = { ...own, spentIn: generation };
      assertLedger(state);
      if (exponents === null) throw new AttemptProblem("the round has no exponents: nothing was summed", []);
      taken = added(taken, await engine.takeSums());
      round = { term, step, attempt, generation };
      const { sums, checksums } = await allReduce.reduce({
        round,
        members: state.members.map(({ worker }) => worker),
        weights: state.weights,
        sums: taken.slice(),
        units: options.layout.tensors.map(({ offset }, index) => ({
          offset,
          exponent: exponents[index] ?? 0,
        })),
        checkSeed: state.checkSeed,
        signal,
        deadlineMs: state.roundMs,
      });
      const check = checksums === null ? null : roundCheckOf(checksums);
      own = { ...own, pending: null };
      options.onHeld(heldNow());
      const result = await engine.update({
        sums,
        exponents: exponentBytes(exponents),
        targetCount,
        learningRate,
        replicaCount: state.ledger.filter((owner) => owner !== null).length,
        updateNumber: step,
        ...job.optimizer,
      });
      assertFinite(result.gradientNorm, targetCount);
      own = { ...own, pending: { step, digest: result.digest } };
      options.onHeld(heldNow());
      await reports.updated({ term, step, attempt, generation }, { ...result, check }, signal);
    });
  }

  /** Sums that the coordinator has in mind otherwise would be wrong on every worker. */
  function assertLedger({ members, ledger, microBatchCount }: StepState): void {
    const index = members.findIndex(({ worker }) => worker === self.worker);
    const wanted = ledger.flatMap((owner, microBatch) => owner === index ? [microBatch] : []);
    const isSame = wanted.length === counted.size && wanted.every((microBatch) => counted.has(microBatch));
    if (isSame && ledger.length === microBatchCount) return;
    throw new AttemptProblem(
      `the ledger of ${ledger.length} micro-batches gives this worker ${quote(wanted)}, ` +
        `its sums hold ${quote([...counted].sort((a, b) => a - b))}`,
      [self.worker],
    );
  }

  async function commit(): Promise<void> {
    if (round !== null) allReduce.commit(round);
    // First the word, then the deed: whoever exports the state from here on gets the new one.
    forget(own.pending!);
    await engine.commit();
  }

  async function rollback(): Promise<void> {
    forget(own.committed);
    await engine.rollback();
  }

  /** The attempt is over, with this outcome. */
  function forget(committed: Committed): void {
    own = { ...own, committed, attempt: null, pending: null, spentIn: null };
    counted.clear();
    carriedOut.clear();
    taken = null;
    if (round !== null) allReduce.release(round);
    round = null;
    options.onHeld(heldNow());
  }

  /** Runs a part of the state's attempt; what goes wrong in it, unless the part is not wanted any more, is reported. */
  async function during(
    state: StepState,
    isWanted: (newer: StepState) => boolean,
    part: (signal: AbortSignal) => Promise<void>,
  ): Promise<void> {
    own = { ...own, attempt: attemptOf(state) };
    const watch = states.watch(isWanted);
    try {
      await part(watch.signal);
    } catch (thrown) {
      if (watch.signal.aborted) return;
      own = { ...own, spentIn: state.generation };
      log("warn", `step ${state.step} has failed here and is computed again: ${messageOf(thrown)}`);
      await reports.failed(state, messageOf(thrown), suspectsOf(thrown, self.worker), watch.signal).catch(
        (failed) => {
          if (!watch.signal.aborted) throw failed;
        },
      );
    } finally {
      watch.end();
    }
  }

  /** The coordinator announces an attempt as it fills the queue: either may come first. */
  async function isAnnouncedSoon(seen: StepState): Promise<boolean> {
    const waiting = new AbortController();
    const signal = AbortSignal.any([waiting.signal, states.closed]);
    const late = clock.sleep(2 * limits.announcementIntervalMs, signal).then(() => false);
    try {
      return await Promise.race([states.after(seen).then(() => true), late]);
    } finally {
      late.catch(() => {});
      waiting.abort();
    }
  }

  function drop(item: WorkItem): void {
    source.done();
    acknowledge(item);
  }

  /**
   * A lost acknowledgement brings the item again, and it is dropped then. Whose job was cancelled meanwhile has no queue left to
   * tell.
   */
  function acknowledge(item: WorkItem): void {
    item.ack().catch((thrown) => log("debug", messageOf(thrown)));
  }

  function heldNow(): HeldState {
    const { committed, attempt, pending } = own;
    return { committed, pending: pending === null ? null : { attempt: attempt!, update: pending } };
  }

  return {
    get own() {
      return own;
    },
    get gradientBytesSent() {
      return gradientBytesSent();
    },
    get linkBytesPerSecond() {
      return allReduce.linkBytesPerSecond;
    },
    computeNext,
    reduce,
    commit,
    rollback,
    recovered: (committed) => {
      own = { ...own, committed };
      options.onHeld(heldNow());
    },
    checkpointReported: ({ term, generation }, step) =>
      void (own = { ...own, checkpoint: { term, generation, step } }),
    letGo: () => source.letGo(),
    close: () => {
      source.letGo();
      allReduce.close();
    },
  };
}

/** Sums of one worker are within i32 whatever is added: the exponents see to it. */
function added(before: Int32Array | null, sums: Int32Array): Int32Array {
  if (before === null) return sums;
  for (let i = 0; i < sums.length; i++) sums[i]! += before[i]!;
  return sums;
}

function assertFinite(gradientNorm: number, targetCount: number): void {
  if (Number.isFinite(gradientNorm)) return;
  throw new AttemptProblem(
    `the gradient's norm is ${gradientNorm} over ${targetCount} target tokens: the update would spoil the adapter`,
    [],
  );
}

function suspectsOf(thrown: unknown, self: string): readonly string[] {
  if (thrown instanceof RoundTimeout || thrown instanceof AttemptProblem) return thrown.suspects;
  // A micro-batch that cannot be read is the same for everybody.
  if (thrown instanceof LoraFleetError && thrown.code === "corrupt") return [];
  // What is neither a deadline nor a disagreement is the own GPU, driver or program.
  return [self];
}
