/**
 * One round of the all-reduce as one member sees it, without time and without a network: frames come in by `receive`, the next
 * one to send goes out at every `sendNext`.
 *
 * Each member owns a range. It adds everybody's chunks of that range as they come, in any order, which is
 * exact because they are integers (`round_codec.ts` says how they travel). As soon as it has one chunk of
 * everybody, it publishes the sum of that chunk. An all_gather chunk is also the owner's ack for our part
 * of it, so the gradient can be overwritten with the result in place.
 */
import { encodeFrame, FRAME_HEADER_BYTES } from "../../shared/protocol/tensor_frame.ts";
import type { FrameHeader, FrameKind, TensorFrame } from "../../shared/protocol/tensor_frame.ts";
import { chunkCountOf, type ChunkPlan, chunkRange } from "./chunk_plan.ts";
import { type ChunkSet, chunkSetOf, createChunkSet } from "./chunk_set.ts";
import { createOutgoingChunks, type OutgoingChunks, type Sending } from "./outgoing_chunks.ts";
import type { OwnerRange } from "./owner_ranges.ts";
import type { CheckWeights } from "../../shared/protocol/linear_check.ts";
import { createRoundCheck, type RoundChecksums } from "./round_check.ts";
import type { RoundCodec } from "./round_codec.ts";
import type { Scratch } from "./scratch.ts";

/** Where a frame goes: to one member, or to all. */
export interface RoundSender {
  toOwner(member: number, frame: Uint8Array): void;
  toAll(frame: Uint8Array): void;
  ack(member: number, frame: Uint8Array): void;
}

export interface RoundOptions {
  /** The numbers that all frames of the round carry. */
  readonly header: Pick<FrameHeader, "jobHash" | "generation" | "step" | "attempt">;
  readonly selfIndex: number;
  /** One for each member. */
  readonly ranges: readonly OwnerRange[];
  readonly plan: ChunkPlan;
  /** Holds this worker's gradient sums, and makes the result of them. */
  readonly codec: RoundCodec;
  readonly weights: CheckWeights;
  readonly sender: RoundSender;
  /** For frames with chunks: a sender has to have taken one before the next is made. */
  readonly frameScratch: Scratch;
}

/** What became of a frame. */
export type Reception = "used" | "duplicate" | "mismatched";

/** Chunks that have not come from one member: of its sums for us, and of its finished range. */
export interface MissingFrom {
  readonly member: number;
  readonly reduceScatterChunks: number;
  readonly allGatherChunks: number;
}

export interface ReduceRound {
  receive(frame: TensorFrame): Reception;
  /** Sends at most one chunk; false where there is nothing to send now. */
  sendNext(): boolean;
  /** Tells everybody who owes us chunks which ones we have, and asks for the rest. */
  askForMissing(): void;
  missing(): MissingFrom[];
  /** The result is whole and our finished range is out. */
  readonly isComplete: boolean;
  /** Of what this member gave, got and has; whole when the round is complete. */
  readonly checksums: RoundChecksums;
  /** Payload bytes of chunks that were published. */
  readonly bytesSent: number;
  readonly chunksRepeated: number;
}

/** Acks come after so many parts of a window: often enough that the sender need not wait for them. */
const ACKS_PER_WINDOW = 4;

/** What comes in from one member: its sums for our range, or its finished range. */
interface Incoming {
  readonly arrived: ChunkSet;
  unconfirmed: number;
}

export function createReduceRound(options: RoundOptions): ReduceRound {
  const { selfIndex, ranges, plan: { chunkElements, windowChunks }, codec, sender, frameScratch } = options;
  const others = ranges.map((_, member) => member).filter((member) => member !== selfIndex);
  const check = createRoundCheck(options.weights, ranges.length, selfIndex, codec);
  const counts = ranges.map((range) => chunkCountOf(range, chunkElements));
  const ownCount = counts[selfIndex]!;
  const addendsLeft = new Uint16Array(ownCount).fill(others.length);
  const incoming = (chunkCount: number): Incoming => ({
    arrived: createChunkSet(chunkCount),
    unconfirmed: 0,
  });
  const reduceScatterIn = new Map(others.map((member) => [member, incoming(ownCount)]));
  const allGatherIn = new Map(others.map((member) => [member, incoming(counts[member]!)]));
  const reduceScatterOut = new Map(
    others.map((member) => [member, createOutgoingChunks(counts[member]!, [member], windowChunks)]),
  );
  const allGatherOut = createOutgoingChunks(ownCount, others, windowChunks);
  const ackEvery = Math.max(1, Math.floor(windowChunks / ACKS_PER_WINDOW));
  let allGatherLeft = counts.reduce((sum, count) => sum + count, 0) - ownCount;
  let ownLeft = ownCount;
  let bytesSent = 0;
  let chunksRepeated = 0;

  for (const [member, outgoing] of reduceScatterOut) {
    for (let chunk = 0; chunk < counts[member]!; chunk++) outgoing.offer(chunk);
  }
  // Each member begins with another owner, so that not all of them send to the first one first.
  const streams: { member: number; outgoing: OutgoingChunks }[] = [
    ...others.filter((member) => member > selfIndex),
    ...others.filter((member) => member < selfIndex),
  ].map((member) => ({ member, outgoing: reduceScatterOut.get(member)! }));
  streams.push({ member: selfIndex, outgoing: allGatherOut });
  let turn = 0;

  /** Null where the frame's place is not exactly that of a chunk. */
  function placeOf(frame: TensorFrame): OwnerRange | null {
    const range = ranges[frame.ownerIndex];
    if (range === undefined || frame.chunkCount !== counts[frame.ownerIndex]) return null;
    if (frame.chunkIndex >= frame.chunkCount) return null;
    const place = chunkRange(range, chunkElements, frame.chunkIndex);
    const isWhole = frame.codec === codec.frameCodec && frame.elementOffset === place.offset &&
      frame.payload.length === codec.payloadWords(place.count);
    return isWhole ? place : null;
  }

  function receive(frame: TensorFrame): Reception {
    switch (frame.kind) {
      case "reduce_scatter":
        return receiveReduce(frame);
      case "all_gather":
        return receiveAllGather(frame);
      case "ack":
        return receiveAck(frame);
      case "state":
        return "mismatched";
    }
  }

  function receiveReduce(frame: TensorFrame): Reception {
    const from = reduceScatterIn.get(frame.senderIndex);
    const place = placeOf(frame);
    if (from === undefined || place === null || frame.ownerIndex !== selfIndex) return "mismatched";
    const chunk = frame.chunkIndex;
    if (!from.arrived.add(chunk)) return "duplicate";
    const isFirst = addendsLeft[chunk] === others.length;
    check.takes(frame.senderIndex, place, frame.payload, isFirst);
    codec.add(place, frame.payload, isFirst);
    confirm(frame.senderIndex, selfIndex, from);
    if (--addendsLeft[chunk]! === 0) {
      check.totals(place);
      codec.finish(place);
      check.has(selfIndex, place);
      ownLeft--;
      allGatherOut.offer(chunk);
    }
    return "used";
  }

  function receiveAllGather(frame: TensorFrame): Reception {
    const from = allGatherIn.get(frame.senderIndex);
    const place = placeOf(frame);
    if (from === undefined || place === null || frame.ownerIndex !== frame.senderIndex) return "mismatched";
    const ours = reduceScatterOut.get(frame.senderIndex)!;
    // A sum without our part is none; and its place still holds our part.
    if (!ours.wasSent(frame.chunkIndex)) return "mismatched";
    if (!from.arrived.add(frame.chunkIndex)) return "duplicate";
    ours.confirmOne(frame.senderIndex, frame.chunkIndex);
    codec.takeResult(place, frame.payload);
    check.has(frame.senderIndex, place);
    allGatherLeft--;
    confirm(frame.senderIndex, frame.senderIndex, from);
    return "used";
  }

  function receiveAck(frame: TensorFrame): Reception {
    const receiver = frame.senderIndex;
    const isForSums = frame.ownerIndex === receiver;
    const outgoing = isForSums ? reduceScatterOut.get(receiver) : allGatherOut;
    if (outgoing === undefined || (!isForSums && frame.ownerIndex !== selfIndex)) return "mismatched";
    if (!reduceScatterOut.has(receiver)) return "mismatched";
    const [wantsRest, ...words] = frame.payload;
    const arrived = chunkSetOf(Int32Array.from(words), counts[frame.ownerIndex]!);
    if (arrived === null) return "mismatched";
    outgoing.confirm(receiver, arrived);
    if (wantsRest === 1) outgoing.repeat(receiver);
    return "used";
  }

  function sendNext(): boolean {
    for (let tried = 0; tried < streams.length; tried++) {
      const { member, outgoing } = streams[turn]!;
      turn = (turn + 1) % streams.length;
      const sending = outgoing.next();
      if (sending === null) continue;
      send(member, sending);
      return true;
    }
    return false;
  }

  function send(owner: number, { chunk, receiver }: Sending): void {
    const isOwn = owner === selfIndex;
    const place = chunkRange(ranges[owner]!, chunkElements, chunk);
    const payload = isOwn ? codec.encodeResult(place) : codec.encodeSums(place);
    if (!isOwn && receiver === null) check.gave(owner, place, payload);
    const memory = frameScratch.take(FRAME_HEADER_BYTES + payload.byteLength);
    const header = headerOf(isOwn ? "all_gather" : "reduce_scatter", owner, chunk, place.offset);
    const frame = encodeFrame(header, payload, memory);
    if (!isOwn) sender.toOwner(owner, frame);
    // A broadcast chunk that one member lost goes to that one alone.
    else if (receiver !== null) sender.toOwner(receiver, frame);
    else sender.toAll(frame);
    bytesSent += payload.byteLength;
    if (receiver !== null) chunksRepeated++;
  }

  function headerOf(kind: FrameKind, ownerIndex: number, chunkIndex: number, elementOffset: number) {
    const chunkCount = counts[ownerIndex]!;
    const frameCodec = kind === "ack" ? "i32" : codec.frameCodec;
    const place = { senderIndex: selfIndex, ownerIndex, chunkIndex, chunkCount, elementOffset };
    return { ...options.header, kind, codec: frameCodec, ...place };
  }

  function sendAck(member: number, ownerIndex: number, from: Incoming, wantsRest: boolean): void {
    const payload = new Int32Array(1 + from.arrived.words.length);
    payload[0] = wantsRest ? 1 : 0;
    payload.set(from.arrived.words, 1);
    from.unconfirmed = 0;
    const header = headerOf("ack", ownerIndex, 0, ranges[ownerIndex]!.offset);
    sender.ack(member, encodeFrame(header, payload));
  }

  function confirm(member: number, ownerIndex: number, from: Incoming): void {
    if (++from.unconfirmed >= ackEvery || from.arrived.isFull) {
      sendAck(member, ownerIndex, from, false);
    }
  }

  function askForMissing(): void {
    for (const member of others) {
      const [sumsIn, rangeIn] = [reduceScatterIn.get(member)!, allGatherIn.get(member)!];
      if (!sumsIn.arrived.isFull) sendAck(member, selfIndex, sumsIn, true);
      if (!rangeIn.arrived.isFull) sendAck(member, member, rangeIn, true);
    }
  }

  function missing(): MissingFrom[] {
    return others.map((member) => ({
      member,
      reduceScatterChunks: ownCount - reduceScatterIn.get(member)!.arrived.size,
      allGatherChunks: counts[member]! - allGatherIn.get(member)!.arrived.size,
    })).filter(({ reduceScatterChunks, allGatherChunks }) => reduceScatterChunks + allGatherChunks > 0);
  }

  return {
    receive,
    sendNext,
    askForMissing,
    missing,
    get isComplete() {
      return allGatherLeft === 0 && ownLeft === 0 && allGatherOut.isSent;
    },
    checksums: check.sums,
    get bytesSent() {
      return bytesSent;
    },
    get chunksRepeated() {
      return chunksRepeated;
    },
  };
}
