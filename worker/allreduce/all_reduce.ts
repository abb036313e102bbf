/**
 * The all-reduce over the bus: reduce_scatter to the owners of the ranges, then all_gather from them. This file routes frames to
 * rounds; `running_round.ts` has a round's time and network, `round/reduce_round.ts` what it does with a frame.
 *
 * Messages may be lost, duplicated, altered, late or out of order.
 */
import type { BusMessage } from "../../shared/bus/bus.ts";
import { type Clock, systemClock } from "../../shared/clock.ts";
import { LoraFleetError, quote } from "../../shared/errors.ts";
import { LIMITS } from "../../shared/protocol/limits.ts";
import { checkWeights } from "../../shared/protocol/linear_check.ts";
import { decodeFrame, type TensorFrame } from "../../shared/protocol/tensor_frame.ts";
import { unlessAborted } from "../async/abortable.ts";
import { turnOfEventLoop } from "../async/turn.ts";
import type { AllReduce, AllReduceOptions, ReduceRequest, ReduceResult } from "./all_reduce_interface.ts";
import { type AllReduceStats, newAllReduceStats } from "./all_reduce_stats.ts";
import { type Codec, createCodec } from "./codec/codecs.ts";
import { createScratch } from "./codec/scratch.ts";
import { EarlyFrames } from "./early_frames.ts";
import { EnteredRounds } from "./entered_rounds.ts";
import { LinkMeter } from "./link_meter.ts";
import { chunkPlan, defaultChunkBytes } from "./plan/chunk_plan.ts";
import { equalWeights, ownerRanges } from "./plan/owner_ranges.ts";
import { ReduceRound, type RoundSender } from "./round/reduce_round.ts";
import { compareRounds, describeRound, type RoundId, termHash } from "./round/round_id.ts";
import { RoundSubscriptions } from "./round_subscriptions.ts";
import { RunningRound } from "./running_round.ts";

/** Twice the time of a chunk on the slowest link, so that a slow chunk is not sent again. 1 s for 512 KiB. */
const quietMsFor = (chunkBytes: number) => 2 * 1000 * chunkBytes / LIMITS.slowestLinkBytesPerSecond;
const MAX_EARLY_BYTES = 48 * 2 ** 20;

export function createAllReduce(options: AllReduceOptions): AllReduce {
  return new BusAllReduce(options);
}

class BusAllReduce implements AllReduce {
  readonly #options: AllReduceOptions;
  readonly #clock: Clock;
  readonly #stats: AllReduceStats;
  readonly #codec: Codec;
  readonly #link: LinkMeter;
  readonly #early: EarlyFrames;
  readonly #entered = new EnteredRounds();
  /** Shared by all rounds: entering one leaves the one before. */
  readonly #frameScratch = createScratch();
  /** The round that `commit` and `release` are for. */
  #lastEntered: RoundId | null = null;
  #current: RunningRound | null = null;
  #isRunning = false;
  #isClosed = false;
  readonly #subscriptions: RoundSubscriptions;

  constructor(options: AllReduceOptions) {
    const { clock = systemClock, stats = newAllReduceStats() } = options;
    this.#options = options;
    this.#clock = clock;
    this.#stats = stats;
    this.#codec = createCodec(options.codec ?? "exact");
    this.#link = new LinkMeter(clock);
    this.#early = new EarlyFrames(options.maxEarlyBytes ?? MAX_EARLY_BYTES);
    this.#subscriptions = new RoundSubscriptions(options, this.#onMessage);
  }

  get stats(): AllReduceStats {
    return { ...this.#stats };
  }

  async reduce(request: ReduceRequest): Promise<ReduceResult> {
    const { round: id, sums, signal } = request;
    const selfIndex = assertRequest(request, this.#options.self);
    signal.throwIfAborted();
    if (this.#isClosed) throw closedError(id);
    if (this.#isRunning) {
      const message = `cannot enter the round of ${describeRound(id)}: a different one is running`;
      throw new LoraFleetError("conflict", message);
    }
    this.#leave();
    this.#codec.forget();
    this.#lastEntered = id;
    this.#isRunning = true;
    try {
      if (request.members.length > 1) return await this.#reduceWithOthers(request, selfIndex);
      if (request.arrival !== undefined) await unlessAborted(request.arrival.whole, signal);
      await this.#codec.alone(request, this.#options.yieldToEventLoop ?? turnOfEventLoop);
      signal.throwIfAborted();
      return { sums, checksums: null };
    } finally {
      this.#isRunning = false;
    }
  }

  commit(id: RoundId): void {
    if (this.#isSettled(id)) this.#codec.commit();
  }

  release(id: RoundId): void {
    if (!this.#isSettled(id)) return;
    this.#codec.forget();
    this.#leave();
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    if (this.#isRunning) this.#current?.fail(closedError(this.#current.id));
    this.#leave();
    this.#subscriptions.close();
  }

  async #reduceWithOthers(request: ReduceRequest, selfIndex: number): Promise<ReduceResult> {
    const { round: id, members, sums, signal, deadlineMs } = request;
    const hash = termHash(this.#options.jobId, this.#options.startId ?? "", id.term);
    const { round, quietMs } = this.#prepare(request, hash, selfIndex);
    const [clock, stats] = [this.#clock, this.#stats];
    const { yieldToEventLoop = turnOfEventLoop } = this.#options;
    const running = new RunningRound({
      ...{ id, hash, members, round, clock, stats, quietMs, yieldToEventLoop },
      arrival: request.arrival ?? null,
    });
    this.#subscriptions.listenTo(id.generation, members);
    this.#entered.add(id, hash);
    this.#current = running;
    this.#link.beginRound();
    try {
      await running.run(this.#early.take(hash, id), deadlineMs, signal);
      this.#link.endRound();
      stats.linkBytesPerSecond = this.#link.bytesPerSecond ?? stats.linkBytesPerSecond;
      return { sums, checksums: round.checksums };
    } catch (thrown) {
      if (this.#current === running) this.#leave();
      this.#codec.forget();
      throw thrown;
    }
  }

  #prepare(request: ReduceRequest, jobHash: number, selfIndex: number) {
    const { bus, chunkBytes, quietMs } = this.#options;
    const { round: { generation, step, attempt }, members, weights, sums } = request;
    const { grain } = this.#codec;
    const ranges = ownerRanges(sums.length, weights ?? equalWeights(members.length));
    const bytes = chunkBytes ?? defaultChunkBytes(sums.length, members.length, grain);
    const round = new ReduceRound({
      header: { jobHash, generation, step, attempt },
      selfIndex,
      ranges,
      plan: chunkPlan(members.length, bytes, bus.maxPayloadBytes, grain),
      codec: this.#codec.begin(request, ranges[selfIndex]!),
      weights: checkWeights(request.checkSeed ?? 0),
      frameScratch: this.#frameScratch,
      stats: this.#stats,
      sender: senderOf(this.#options, generation, members),
    });
    round.ownArrived(request.arrival?.count ?? sums.length);
    return { round, quietMs: quietMs ?? quietMsFor(bytes) };
  }

  readonly #onMessage = ({ subject, data }: BusMessage): void => {
    let frame: TensorFrame;
    try {
      frame = decodeFrame(data);
    } catch {
      this.#stats.corruptFrames++;
      return;
    }
    const sender = this.#options.subjects.senderOf(subject);
    const current = this.#current;
    if (current?.hash === frame.jobHash && compareRounds(frame, current.id) === 0) {
      if (frame.kind !== "ack") this.#link.received(data.length);
      current.receive({ sender, frame });
    } else if (this.#entered.isOver(frame)) this.#stats.staleFrames++;
    // An ack is useless outside its round, and its sender repeats it.
    else if (frame.kind !== "ack" && !this.#early.keep({ sender, frame })) this.#stats.droppedEarlyFrames++;
  };

  #leave(): void {
    this.#current?.leave();
    this.#current = null;
  }

  #isSettled(id: RoundId): boolean {
    return !this.#isRunning && this.#lastEntered?.term === id.term &&
      compareRounds(id, this.#lastEntered) === 0;
  }
}

function senderOf(
  { bus, subjects, self }: AllReduceOptions,
  generation: number,
  members: readonly string[],
): RoundSender {
  return {
    toOwner: (member, frame) =>
      bus.publish(subjects.reduceScatter(generation, members[member]!, self), frame),
    toAll: (frame) => bus.publish(subjects.allGather(generation, self), frame),
    ack: (member, frame) => bus.publish(subjects.ack(generation, members[member]!, self), frame),
  };
}

/** The index of this worker. */
function assertRequest({ round, members, deadlineMs }: ReduceRequest, self: string): number {
  const selfIndex = members.indexOf(self);
  const isSorted = members.every((member, index) => index === 0 || members[index - 1]! < member);
  if (selfIndex < 0 || !isSorted || !(deadlineMs > 0)) {
    const what = `cannot enter the round of ${describeRound(round)} with ${quote({ members, deadlineMs })}`;
    const needed = `distinct sorted members, ${quote(self)} among them, and a positive deadline are needed`;
    throw new LoraFleetError("invalid_request", `${what}: ${needed}`);
  }
  return selfIndex;
}

function closedError(id: RoundId): LoraFleetError {
  return new LoraFleetError(
    "aborted",
    `the round of ${describeRound(id)} was cut short: the all-reduce is closed`,
  );
}
