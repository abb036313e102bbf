/**
 * The all-reduce over the bus: owner reduce-scatter, broadcast fan-out (docs and design call it a round). This file has the
 * time and the network; what a round does with a frame is in `reduce_round.ts`.
 *
 * Messages may be lost, doubled, changed, late or out of order. A worker that hears nothing for a while tells each member that
 * owes it something which chunks it has, and asks for the rest; senders keep what they sent until the round is released.
 */
import { setImmediate } from "node:timers";
import type { BusMessage, Subscription } from "../../shared/bus/bus.ts";
import { systemClock } from "../../shared/clock.ts";
import { LoraFleetError, quote } from "../../shared/errors.ts";
import { LIMITS } from "../../shared/protocol/limits.ts";
import { checkWeights } from "../../shared/protocol/linear_check.ts";
import { decodeFrame, type TensorFrame } from "../../shared/protocol/tensor_frame.ts";
import type { AllReduce, AllReduceOptions, ReduceRequest, ReduceResult } from "./all_reduce_interface.ts";
import { chunkPlan, defaultChunkBytes } from "./chunk_plan.ts";
import { createCodec } from "./codecs.ts";
import { createEarlyFrames, type EarlyFrame } from "./early_frames.ts";
import { createLinkMeter } from "./link_meter.ts";
import { equalWeights, ownerRanges } from "./owner_ranges.ts";
import { createReduceRound, type ReduceRound } from "./reduce_round.ts";
import { compareRounds, describeRound, type RoundId, termHash } from "./round_id.ts";
import { RoundTimeout } from "./round_timeout.ts";
import { createScratch } from "./scratch.ts";

export type { AllReduce, ReduceRequest };

const LONGEST_QUIET_MS = 4000;
/** Twice the time of a chunk on the slowest link: what is only slow must not be sent again. 1 s for 512 KiB. */
const quietMsFor = (chunkBytes: number) => 2 * 1000 * chunkBytes / LIMITS.slowestLinkBytesPerSecond;
const MAX_EARLY_BYTES = 48 * 2 ** 20;

/** A round from its entry to its release. */
interface EnteredRound {
  readonly id: RoundId;
  /** In the header of its frames: names job, start and term. */
  readonly hash: number;
  readonly members: readonly string[];
  readonly round: ReduceRound;
  readonly outcome: PromiseWithResolvers<void>;
  /** Aborts when nobody needs it any more. */
  readonly left: AbortController;
  readonly quietMs: number;
  lastArrivalAt: number;
  /** Sends on, if it was waiting. */
  wake: () => void;
}

export function createAllReduce(options: AllReduceOptions): AllReduce {
  const { bus, jobId, self, subjects, clock = systemClock } = options;
  const { yieldToEventLoop = turnOfEventLoop } = options;
  const { startId = "" } = options;
  const codec = createCodec(options.codec ?? "exact");
  /** Used by one round after the other: entering one leaves the one before. */
  const frameScratch = createScratch();
  const link = createLinkMeter(clock);
  const early = createEarlyFrames(options.maxEarlyBytes ?? MAX_EARLY_BYTES);
  const counts = { duplicate: 0, stale: 0, corrupt: 0, mismatched: 0, droppedEarly: 0 };
  /** Of rounds that were left. */
  const past = { bytesSent: 0, chunksRepeated: 0 };
  /** Of the rounds that were entered. */
  let newest: Pick<EnteredRound, "id" | "hash"> | null = null;
  /** Of terms that are over. */
  const pastHashes = new Set<number>();
  /** Whose outcome is to be told by `commit` or `release`. */
  let lastEntered: RoundId | null = null;
  let current: EnteredRound | null = null;
  let isRunning = false;
  let isClosed = false;

  const always = [subjects.reduceScatterTo(self), subjects.ackTo(self)].map((subject) =>
    bus.subscribe(subject, onMessage)
  );
  /** Finished ranges are heard member by member: a worker need not hear its own. */
  const allGathers = new Map<string, Subscription>();

  function onMessage({ subject, data }: BusMessage): void {
    let frame: TensorFrame;
    try {
      frame = decodeFrame(data);
    } catch {
      counts.corrupt++;
      return;
    }
    const sender = subjects.senderOf(subject);
    if (current?.hash === frame.jobHash && compareRounds(frame, current.id) === 0) {
      if (frame.kind !== "ack") link.received(data.length);
      take(current, { sender, frame });
    } else if (isOver(frame)) counts.stale++;
    // Without its round an ack says nothing; who sent it will say it again.
    else if (frame.kind !== "ack" && !early.keep({ sender, frame })) counts.droppedEarly++;
  }

  function isOver(frame: TensorFrame): boolean {
    if (newest?.hash === frame.jobHash) return compareRounds(frame, newest.id) <= 0;
    return pastHashes.has(frame.jobHash);
  }

  function take(entered: EnteredRound, { sender, frame }: EarlyFrame): void {
    if (entered.members[frame.senderIndex] !== sender) return void counts.mismatched++;
    const reception = entered.round.receive(frame);
    if (reception !== "used") return void counts[reception]++;
    if (frame.kind !== "ack") entered.lastArrivalAt = clock.now();
    entered.wake();
  }

  function enter(request: ReduceRequest, selfIndex: number): EnteredRound {
    const { round: id, members, weights, sums } = request;
    const { term, generation } = id;
    const hash = termHash(jobId, startId, term);
    const ranges = ownerRanges(sums.length, weights ?? equalWeights(members.length));
    const chunkBytes = options.chunkBytes ?? defaultChunkBytes(sums.length, members.length, codec.grain);
    const entered: EnteredRound = {
      quietMs: options.quietMs ?? quietMsFor(chunkBytes),
      id,
      hash,
      members,
      round: createReduceRound({
        header: { jobHash: hash, generation, step: id.step, attempt: id.attempt },
        selfIndex,
        ranges,
        plan: chunkPlan(members.length, chunkBytes, bus.maxPayloadBytes, codec.grain),
        codec: codec.begin(request, ranges[selfIndex]!),
        weights: checkWeights(request.checkSeed ?? 0),
        frameScratch,
        sender: {
          toOwner: (member, frame) =>
            bus.publish(subjects.reduceScatter(generation, members[member]!, self), frame),
          toAll: (frame) => bus.publish(subjects.allGather(generation, self), frame),
          ack: (member, frame) => bus.publish(subjects.ack(generation, members[member]!, self), frame),
        },
      }),
      outcome: Promise.withResolvers(),
      left: new AbortController(),
      lastArrivalAt: clock.now(),
      wake: () => {},
    };
    listenToAllGathers(members.map((member) => subjects.allGather(generation, member)), selfIndex);
    if (newest !== null && newest.hash !== hash) pastHashes.add(newest.hash);
    pastHashes.delete(hash);
    if (newest?.hash !== hash || compareRounds(id, newest.id) > 0) newest = { id, hash };
    return entered;
  }

  function listenToAllGathers(wanted: readonly string[], selfIndex: number): void {
    const others = new Set(wanted.filter((_, index) => index !== selfIndex));
    for (const [subject, subscription] of allGathers) {
      if (others.has(subject)) continue;
      subscription.close();
      allGathers.delete(subject);
    }
    for (const subject of others) {
      if (!allGathers.has(subject)) allGathers.set(subject, bus.subscribe(subject, onMessage));
    }
  }

  function leave(): void {
    if (current === null) return;
    past.bytesSent += current.round.bytesSent;
    past.chunksRepeated += current.round.chunksRepeated;
    current.left.abort();
    current.wake();
    current = null;
  }

  /** Takes what came early, then sends whatever there is to send, until the round is left. */
  async function send(entered: EnteredRound): Promise<void> {
    const { round, left } = entered;
    for (const frame of early.take(entered.hash, entered.id)) {
      // The next round sums in the same memory.
      if (left.signal.aborted) return;
      take(entered, frame);
      await yieldToEventLoop();
    }
    while (!left.signal.aborted) {
      const hasSent = round.sendNext();
      if (round.isComplete) entered.outcome.resolve();
      if (hasSent) await yieldToEventLoop();
      else await new Promise<void>((resolve) => void (entered.wake = resolve));
    }
  }

  /** Asks for what is missing whenever nothing has come for a while. */
  async function ask(entered: EnteredRound, signal: AbortSignal): Promise<void> {
    const { quietMs } = entered;
    for (let waitMs = quietMs, quietSince = entered.lastArrivalAt;;) {
      if (entered.lastArrivalAt > quietSince) {
        quietSince = entered.lastArrivalAt;
        waitMs = quietMs;
      }
      const dueInMs = quietSince + waitMs - clock.now();
      if (dueInMs > 0) {
        await clock.sleep(dueInMs, signal);
        continue;
      }
      entered.round.askForMissing();
      quietSince = clock.now();
      waitMs = Math.min(2 * waitMs, Math.max(quietMs, LONGEST_QUIET_MS));
    }
  }

  async function expire({ id, members, round }: EnteredRound, deadlineMs: number, signal: AbortSignal) {
    await clock.sleep(deadlineMs, signal);
    throw new RoundTimeout(id, deadlineMs, members, round.missing());
  }

  async function reduce(request: ReduceRequest): Promise<ReduceResult> {
    const { round: id, members, sums, signal } = request;
    const selfIndex = assertRequest(request, self);
    signal.throwIfAborted();
    if (isClosed) throw closedError(id);
    if (isRunning) {
      throw new LoraFleetError(
        "conflict",
        `cannot enter the round of ${describeRound(id)}: another one is running`,
      );
    }
    leave();
    codec.forget();
    lastEntered = id;
    if (members.length === 1) return await reduceAlone(request);

    const running = current = enter(request, selfIndex);
    const { round, outcome, left } = running;
    const ended = new AbortController();
    const onAbort = () => outcome.reject(signal.reason);
    const failWith = (thrown: unknown) => outcome.reject(thrown);
    isRunning = true;
    link.beginRound();
    signal.addEventListener("abort", onAbort, { once: true });
    send(running).catch(failWith);
    // Both end by the abort of `ended`, after the outcome; before it, what they throw is the outcome.
    ask(running, ended.signal).catch(failWith);
    expire(running, request.deadlineMs, ended.signal).catch(failWith);
    try {
      await outcome.promise;
      link.endRound();
      return { sums, checksums: round.checksums, bytesSent: round.bytesSent };
    } catch (thrown) {
      if (!left.signal.aborted) leave();
      codec.forget();
      throw thrown;
    } finally {
      isRunning = false;
      signal.removeEventListener("abort", onAbort);
      ended.abort();
    }
  }

  async function reduceAlone(request: ReduceRequest): Promise<ReduceResult> {
    isRunning = true;
    try {
      await codec.alone(request, yieldToEventLoop);
      request.signal.throwIfAborted();
      return { sums: request.sums, checksums: null, bytesSent: 0 };
    } finally {
      isRunning = false;
    }
  }

  const isSettled = (id: RoundId) =>
    !isRunning && lastEntered?.term === id.term && compareRounds(id, lastEntered) === 0;

  return {
    reduce,
    commit: (id) => {
      if (isSettled(id)) codec.commit();
    },
    release: (id) => {
      if (!isSettled(id)) return;
      codec.forget();
      leave();
    },
    get stats() {
      return {
        bytesSent: past.bytesSent + (current?.round.bytesSent ?? 0),
        chunksRepeated: past.chunksRepeated + (current?.round.chunksRepeated ?? 0),
        duplicateFrames: counts.duplicate,
        staleFrames: counts.stale,
        corruptFrames: counts.corrupt,
        mismatchedFrames: counts.mismatched,
        droppedEarlyFrames: counts.droppedEarly,
      };
    },
    get linkBytesPerSecond() {
      return link.bytesPerSecond;
    },
    close: () => {
      if (isClosed) return;
      isClosed = true;
      if (isRunning) current?.outcome.reject(closedError(current.id));
      leave();
      for (const subscription of [...always, ...allGathers.values()]) subscription.close();
    },
  };
}

/** The index of this worker. */
function assertRequest({ round, members, deadlineMs }: ReduceRequest, self: string): number {
  const selfIndex = members.indexOf(self);
  const isSorted = members.every((member, index) => index === 0 || members[index - 1]! < member);
  if (selfIndex < 0 || !isSorted || !(deadlineMs > 0)) {
    throw new LoraFleetError(
      "invalid_request",
      `cannot enter the round of ${describeRound(round)} with ${quote({ members, deadlineMs })}: ` +
        `different members, sorted, ${quote(self)} among them, and a positive deadline are needed`,
    );
  }
  return selfIndex;
}

function closedError(id: RoundId): LoraFleetError {
  return new LoraFleetError(
    "aborted",
    `the round of ${describeRound(id)} has no end: the all-reduce was closed`,
  );
}

const turnOfEventLoop = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));
