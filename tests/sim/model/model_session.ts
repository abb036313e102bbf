/**
 * A model worker with the job loaded, under one membership: what `worker/job/job_session.ts` and `worker/step/train_step.ts` do, with
 * times in place of a GPU. What to do next is the worker's own decision (`worker/step/step_action.ts`), every message is the real one.
 */
import type { WorkItem } from "../../../shared/bus/bus.ts";
import {
  decodeMessage,
  encodeChecksums,
  encodeFloats,
  encodeMessage,
} from "../../../shared/protocol/messages_codec.ts";
import {
  type JobAnnouncement,
  type MemberRef,
  receivedSchema,
  type StepState,
  verdictAnswerSchema,
} from "../../../shared/protocol/messages_coordinator.ts";
import { decodeWorkItemHeader, type WorkItemHeader } from "../../../shared/protocol/messages_work_item.ts";
import {
  attemptFailureSchema,
  checkpointReportSchema,
  type Committed,
  microBatchReportSchema,
  recoverRequestSchema,
  type RoundCheck,
  updateReportSchema,
} from "../../../shared/protocol/messages_worker.ts";
import { CHECK_WORDS, MAX_LOCALISED_MEMBERS } from "../../../shared/protocol/linear_check.ts";
import type { Prng } from "../../../shared/prng.ts";
import { placeAmong } from "../../../shared/protocol/sorted_members.ts";
import { encodeStateFrame } from "../../../shared/protocol/state_frame.ts";
import { isNewerState } from "../../../shared/protocol/terms.ts";
import * as subjects from "../../../shared/protocol/subjects.ts";
import {
  type AttemptId,
  attemptOf,
  holdersFor,
  isOver,
  isRoundOver,
  mayLeave,
  nextAction,
  type OwnState,
  placeOf,
  sameCommit,
} from "../../../worker/step/step_action.ts";
import { addMicroBatch, emptySums, lossSumOf, maxAbsOf, type Sums, wordsOfDigest } from "./contribution.ts";
import { uploadMs } from "./link_model.ts";
import { askUntilAnswered } from "./model_ask.ts";
import type { ModelLink } from "./model_link.ts";
import { recoverState } from "./model_recovery.ts";
import { type ModelWorld, updateMs } from "./model_world.ts";

/** What outlives a membership. */
export interface ModelHeld {
  readonly committed: Committed;
  readonly pending: { readonly attempt: AttemptId; readonly update: Committed } | null;
}

export interface ModelSessionOptions {
  readonly world: ModelWorld;
  readonly self: MemberRef;
  readonly job: JobAnnouncement;
  readonly held: ModelHeld;
  readonly link: ModelLink;
  readonly random: Prng;
  /** How long a micro-batch takes here, on average. */
  readonly paceMs: number;
  readonly gradientBytesBefore: number;
  readonly now: () => number;
  readonly onHeld: (held: ModelHeld) => void;
  readonly onOver: () => void;
  readonly onLook: () => void;
}

export interface ModelSession {
  readonly busy: {
    readonly step: number;
    readonly attempt: number;
    readonly index: number;
    readonly since: number;
  } | null;
  readonly gradientBytesSent: number;
  readonly microBatchesDone: number;
  mayLeave(hasOthers: boolean): boolean;
  close(): void;
}

/** Something that takes time, and for which states it is of use. */
interface Doing {
  readonly isWanted: (newer: StepState) => boolean;
  /** What a GPU has begun is not stopped. */
  isFixed: boolean;
  /** What is left to do where it is not wanted any more. */
  readonly onStop: () => void;
}

/** As in `worker/step/work_source.ts`. */
const MAX_NAKS = 5;
/** As in `worker/recovery/serve_state.ts`. */
const SERVING_MS = 10_000;

export function startModelSession(options: ModelSessionOptions): ModelSession {
  const { world, self, job, held, link, random, paceMs, now, onHeld } = options;
  const { limits, rounds } = world;
  const { jobId, startId } = job;
  const counted = new Set<number>();
  let sums: Sums = emptySums();
  let own: OwnState = {
    self,
    committed: held.committed,
    attempt: held.pending?.attempt ?? null,
    pending: held.pending?.update ?? null,
    spentIn: null,
    checkpoint: null,
  };
  let newest: StepState | null = null;
  let doing: Doing | null = null;
  let inHand: WorkItem | null = null;
  /** Computed, and its claim not answered yet. */
  let claiming: WorkItem | null = null;
  let isPulling = false;
  let isClosed = false;
  let busy: ModelSession["busy"] = null;
  let lastClaim = 0;
  let microBatchesDone = 0;
  let gradientBytesSent = options.gradientBytesBefore;
  let servedAt = -Infinity;

  const isDoing = (what: Doing) => doing === what && !isClosed;
  const note = (what: string) => world.note(self.worker, what);

  /** Does what is missing, as far as it takes no time; what takes time looks again when it is done. */
  function look(): void {
    while (!isClosed && newest !== null) {
      if (doing !== null) {
        if (doing.isFixed || doing.isWanted(newest)) return;
        const stopped = doing;
        doing = null;
        stopped.onStop();
      }
      const { action } = nextAction(newest, own);
      if (action !== "compute" && action !== "commit" && action !== "rollback") letGo();
      if (!act(action, newest)) return;
    }
  }

  /** Whether there may be more to do at once. */
  function act(action: ReturnType<typeof nextAction>["action"], state: StepState): boolean {
    switch (action) {
      case "commit":
        note(`commits step ${own.pending!.step}`);
        forget(own.pending!);
        return true;
      case "rollback":
        forget(own.committed);
        return true;
      case "compute":
        return computeNext(state);
      case "reduce":
        reduce(state);
        return true;
      case "recover":
        recover(state);
        return true;
      case "checkpoint":
        checkpoint(state);
        return true;
      case "wait":
        return false;
      case "end":
        close();
        options.onOver();
        return false;
    }
  }

  function begin(
    isWanted: (newer: StepState) => boolean,
    { isFixed = false, onStop = () => {} }: { isFixed?: boolean; onStop?: () => void } = {},
  ): Doing {
    return doing = { isWanted, isFixed, onStop };
  }

  function end(what: Doing): void {
    if (doing !== what) return;
    doing = null;
    look();
    options.onLook();
  }

  /** The attempt is over, with this outcome. */
  function forget(committed: Committed): void {
    own = { ...own, committed, attempt: null, pending: null, spentIn: null };
    counted.clear();
    sums = emptySums();
    tellHeld();
  }

  function tellHeld(): void {
    const { committed, attempt, pending } = own;
    onHeld({ committed, pending: pending === null ? null : { attempt: attempt!, update: pending } });
  }

  function letGo(): void {
    if (inHand !== null && inHand.deliveryCount <= MAX_NAKS) inHand.nak();
    inHand = null;
  }

  function pull(): void {
    if (isPulling) return;
    isPulling = true;
    link.pull(subjects.workQueueName(jobId), limits.pullTimeoutMs, (item) => {
      isPulling = false;
      if (isClosed) return item?.nak();
      inHand = item;
      look();
    });
  }

  function computeNext(state: StepState): boolean {
    const item = inHand;
    if (item === null) {
      pull();
      return false;
    }
    const header = decodeWorkItemHeader(item.data);
    const isOurs = header.jobId === jobId && header.startId === startId && header.specHash === job.specHash;
    const place = isOurs ? placeOf(header, state) : "older";
    if (place === "newer") {
      const waiting = begin((newer) => newer === state);
      link.after(2 * limits.announcementIntervalMs, () => {
        if (!isDoing(waiting)) return;
        letGo();
        end(waiting);
      });
      return false;
    }
    inHand = null;
    if (place === "older" || counted.has(header.index)) void item.ack();
    else compute(item, header, state);
    return true;
  }

  function compute(item: WorkItem, header: WorkItemHeader, state: StepState): void {
    const { step, attempt, index, number } = header;
    own = { ...own, attempt: attemptOf(state) };
    busy = { step, attempt, index, since: now() };
    const finish = () => {
      busy = null;
      claiming = null;
      void item.ack();
    };
    const computing = begin((newer) => !isOver(attemptOf(state), newer), { isFixed: true, onStop: finish });
    const extend = () => {
      if (!isDoing(computing)) return;
      item.working();
      link.after(limits.microBatchAckWaitMs / 3, extend);
    };
    link.after(limits.microBatchAckWaitMs / 3, extend);
    const computeMs = Math.round(paceMs * (0.8 + 0.4 * random.uniform()));
    link.after(computeMs, () => {
      world.computed();
      microBatchesDone++;
      if (isClosed) return item.nak();
      computing.isFixed = false;
      if (newest !== null && !computing.isWanted(newest)) return look();
      claiming = item;
      const report = encodeMessage(microBatchReportSchema, {
        ...self,
        ...{
          term: state.term,
          step,
          attempt,
          index,
          claim: ++lastClaim,
          lossSum: lossSumOf(number),
          labelCount: 4,
        },
        ...{ maxAbs: encodeFloats(maxAbsOf(number)), computeMs },
      });
      askUntilAnswered({
        ...{ link, data: report, answer: verdictAnswerSchema, timeoutMs: limits.requestTimeoutMs },
        subject: subjects.reportSubject(jobId, self.worker),
        isWanted: () => isDoing(computing),
        take: ({ verdict }) => {
          if (verdict === "counted" && state.exponents !== null) {
            counted.add(index);
            const times = world.timesAdded(self.worker, number);
            for (let time = 0; time < times; time++) addMicroBatch(sums, number);
          }
          note(`${index} of step ${step}, attempt ${attempt}: ${verdict}`);
          finish();
          end(computing);
        },
      });
    });
  }

  function reduce(state: StepState): void {
    const { term, step, attempt, generation } = state;
    own = { ...own, attempt: attemptOf(state), spentIn: generation };
    const wanted = world.decoded.partOf(state, placeAmong(state.members, self.worker));
    const isSame = wanted.length === counted.size && wanted.every((index) => counted.has(index)) &&
      state.ledger.length === state.microBatchCount;
    if (!isSame) {
      return fail(state, `the ledger gives this worker ${wanted.length}, its sums hold ${counted.size}`, [
        self.worker,
      ]);
    }
    const reducing = begin((newer) => !isRoundOver(state, newer));
    let isSummed = false;
    const part = { words: sums.words.slice(), numbers: [...sums.numbers] };
    gradientBytesSent += world.wireBytes;
    rounds.enter(state, { worker: self.worker, link }, part, (result) => {
      link.after(updateMs(world.gradientBytes), () => {
        if (!isDoing(reducing)) return;
        isSummed = true;
        const digest = result.digestAfter(own.committed.digest);
        own = { ...own, pending: { step, digest } };
        tellHeld();
        const report = encodeMessage(updateReportSchema, {
          ...{ ...self, term, step, attempt, generation, digest, gradientNorm: 1, gradientBytesSent },
          check: checkOfNothing(state.members.length),
        });
        askUntilAnswered({
          ...{ link, data: report, answer: receivedSchema, timeoutMs: limits.requestTimeoutMs },
          subject: subjects.updateSubject(jobId, self.worker),
          isWanted: () => isDoing(reducing),
          take: () => end(reducing),
        });
      });
    });
    link.after(state.roundMs, () => {
      if (!isDoing(reducing) || isSummed) return;
      const missing = rounds.missingIn(state);
      doing = null;
      fail(state, `the all-reduce waits for ${missing.length} after ${state.roundMs} ms`, missing);
    });
  }

  function fail(state: StepState, reason: string, suspects: readonly string[]): void {
    note(`step ${state.step}, attempt ${state.attempt} failed here: ${reason}`);
    const failing = begin((newer) => !isRoundOver(state, newer));
    const report = encodeMessage(attemptFailureSchema, {
      ...{ ...self, ...attemptOf(state), reason, gradientBytesSent },
      suspects: suspects.slice(0, 1000),
    });
    askUntilAnswered({
      ...{ link, data: report, answer: receivedSchema, timeoutMs: limits.requestTimeoutMs },
      subject: subjects.failureSubject(jobId, self.worker),
      isWanted: () => isDoing(failing),
      take: () => end(failing),
    });
  }

  function recover(state: StepState): void {
    const committed = state.committed!;
    const recovering = begin((newer) => sameCommit(newer.committed, committed));
    recoverState({
      ...{ world, link, jobId, startId, self, committed, holders: holdersFor(state, self) },
      isWanted: () => isDoing(recovering),
      isHolder: (holder) => newest!.holders.includes(holder),
      onRecovered: (digest, holder) => {
        own = { ...own, committed: { step: committed.step, digest } };
        note(`has loaded step ${committed.step} from ${holder}`);
        tellHeld();
        end(recovering);
      },
      onFailed: () => void link.after(limits.retryIntervalMs, () => isDoing(recovering) && end(recovering)),
    });
  }

  function checkpoint(state: StepState): void {
    const { step } = state.committed!;
    const writing = begin((newer) =>
      newer.phase === "checkpoint" && newer.committed?.step === step && newer.checkpointWriter === self.worker
    );
    // Adapter and training state.
    link.after(uploadMs(4 * world.gradientBytes, link.speed), () => {
      if (!isDoing(writing)) return;
      const words = wordsOfDigest(own.committed.digest);
      const files = world.artifacts.store(jobId, step, self.worker, new Uint8Array(words.buffer), words);
      const outcome = { type: "written" as const, files };
      askUntilAnswered({
        ...{ link, answer: receivedSchema, timeoutMs: limits.requestTimeoutMs },
        data: encodeMessage(checkpointReportSchema, { ...self, step, outcome }),
        subject: subjects.checkpointSubject(jobId, self.worker),
        isWanted: () => isDoing(writing),
        take: () => {
          own = { ...own, checkpoint: { term: state.term, generation: state.generation, step } };
          note(`has stored the adapter of step ${step}`);
          end(writing);
        },
      });
    });
  }

  const subscriptions = [
    link.hear(subjects.stateSubject(jobId), (data) => {
      const state = world.decoded.step(data);
      if (state.startId !== startId || (newest !== null && !isNewerState(state, newest))) return;
      newest = state;
      look();
      options.onLook();
    }),
    link.serve(subjects.recoverSubject(jobId, self.worker), (data) => {
      const request = decodeMessage(recoverRequestSchema, data, "a request for the committed state");
      const isHeld = request.startId === startId && sameCommit(request.committed, own.committed);
      if (isHeld) servedAt = now();
      const words = isHeld ? wordsOfDigest(own.committed.digest) : new Int32Array(0);
      return encodeStateFrame({ jobId, startId }, request.committed.step, request.offset, words);
    }),
  ];

  function close(): void {
    if (isClosed) return;
    isClosed = true;
    busy = null;
    letGo();
    claiming?.nak();
    for (const subscription of subscriptions) subscription.close();
  }

  // What an earlier membership has left in the sums counts no more; an update of it may be committed by now.
  if (own.pending === null) forget(own.committed);
  return {
    get busy() {
      return busy;
    },
    get gradientBytesSent() {
      return gradientBytesSent;
    },
    get microBatchesDone() {
      return microBatchesDone;
    },
    mayLeave: (hasOthers) => mayLeave(newest, self, { hasOthers, isServing: now() - servedAt < SERVING_MS }),
    close,
  };
}

/** There are no gradients here: all sums are 0, as large as a real worker's words would be. */
function checkOfNothing(memberCount: number): RoundCheck | null {
  if (memberCount < 2) return null;
  const isLarge = memberCount > MAX_LOCALISED_MEMBERS;
  const one = encodeChecksums(new Int32Array(CHECK_WORDS));
  const all = isLarge ? one : encodeChecksums(new Int32Array(CHECK_WORDS * memberCount));
  return { given: all, received: isLarge ? "" : all, total: one, result: all };
}
