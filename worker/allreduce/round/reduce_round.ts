/**
 * One round of the all-reduce as one member sees it, without time and without a network: frames come in through `receive`, one
 * chunk goes out at every `sendNext`.
 *
 * Each member owns a range. It adds every member's chunks of that range as they arrive, in any order, which is exact because they
 * are integers (see `round_codec.ts`). Once a chunk has arrived from all members, the owner publishes its total.
 * That all_gather chunk also acknowledges our part of it, so the gradient can be overwritten with the result in place.
 *
 * Our own sums may still be on their way from the GPU: a chunk waits for its piece, to be sent and to be added to.
 */
import type { CheckWeights } from "../../../shared/protocol/linear_check.ts";
import type { TensorFrame } from "../../../shared/protocol/tensor_frame.ts";
import { endOf } from "../plan/owner_ranges.ts";
import { Acks } from "./acks.ts";
import { chunkSetOf } from "./chunk_set.ts";
import { HeldSums } from "./held_sums.ts";
import { OutgoingChunks, type Sending } from "./outgoing_chunks.ts";
import { createPeer, type MissingFrom, missingFrom, offerSums, type Peer } from "./peers.ts";
import { RoundCheck, type RoundChecksums } from "./round_check.ts";
import { OutgoingStreams } from "./outgoing_streams.ts";
import { RoundFrames, type RoundFramesOptions } from "./round_frames.ts";

/** Sends a frame to one member, or to all. */
export interface RoundSender {
  toOwner(member: number, frame: Uint8Array): void;
  toAll(frame: Uint8Array): void;
  ack(member: number, frame: Uint8Array): void;
}

/** Counted over all rounds. */
export interface SendStats {
  /** Payload bytes of chunks, failed rounds included. */
  bytesSent: number;
  chunksRepeated: number;
}

/** The codec holds this worker's gradient sums, and turns them into the result. */
interface RoundOptions extends RoundFramesOptions {
  readonly weights: CheckWeights;
  readonly sender: RoundSender;
  readonly stats: SendStats;
}

type Reception = "used" | "duplicate" | "mismatched" | "droppedEarly";

export class ReduceRound {
  readonly #options: RoundOptions;
  readonly #frames: RoundFrames;
  readonly #check: RoundCheck;
  readonly #peers: ReadonlyMap<number, Peer>;
  /** Our finished range, for all others. */
  readonly #ownOutgoing: OutgoingChunks;
  /** Addends that each chunk of our range still lacks. */
  readonly #addendsLeft: Uint16Array;
  readonly #acks: Acks;
  readonly #streams: OutgoingStreams;
  readonly #held: HeldSums;
  /** So many of our first sums are there. */
  #ownCount = 0;
  #ownLeft: number;
  #allGatherLeft: number;

  constructor(options: RoundOptions) {
    const { selfIndex, ranges, plan: { windowChunks } } = options;
    this.#options = options;
    this.#frames = new RoundFrames(options);
    this.#check = new RoundCheck(options.weights, ranges.length, selfIndex, options.codec);
    const { chunkCounts } = this.#frames;
    const others = ranges.map((_, member) => member).filter((member) => member !== selfIndex);
    this.#ownLeft = chunkCounts[selfIndex]!;
    this.#allGatherLeft = others.reduce((sum, member) => sum + chunkCounts[member]!, 0);
    this.#addendsLeft = new Uint16Array(this.#ownLeft).fill(others.length);
    this.#acks = new Acks(this.#frames, options.sender, windowChunks);
    this.#ownOutgoing = new OutgoingChunks(this.#ownLeft, others, windowChunks);
    this.#peers = new Map(others.map((member) => [member, createPeer(member, options, chunkCounts)]));
    this.#held = new HeldSums(windowChunks);
    this.#streams = new OutgoingStreams(this.#peers, selfIndex, this.#ownOutgoing);
  }

  /** Our first `count` sums are there. A member sends and adds nothing before it has been told. */
  ownArrived(count: number): void {
    this.#ownCount = count;
    for (const peer of this.#peers.values()) offerSums(peer, this.#frames, count);
  }

  /** Adds a frame that came before our own sums; false if there is none to add now. */
  addHeld(): boolean {
    const frame = this.#held.take(this.#ownCount);
    return frame !== null && this.receive(frame) !== "mismatched";
  }

  receive(frame: TensorFrame): Reception {
    const peer = this.#peers.get(frame.senderIndex);
    if (peer === undefined) return "mismatched";
    switch (frame.kind) {
      case "reduce_scatter":
        return this.#receiveSums(peer, frame);
      case "all_gather":
        return this.#receiveFinished(peer, frame);
      case "ack":
        return this.#receiveAck(peer, frame);
      case "state":
        return "mismatched";
    }
  }

  #receiveSums(peer: Peer, frame: TensorFrame): Reception {
    const { selfIndex, codec } = this.#options;
    const place = this.#frames.placeOf(frame);
    if (place === null || frame.ownerIndex !== selfIndex) return "mismatched";
    const [chunk, needs] = [frame.chunkIndex, endOf(place)];
    if (needs > this.#ownCount) return this.#held.keep({ frame, needs });
    if (!peer.sums.arrived.add(chunk)) return "duplicate";
    const isFirst = this.#addendsLeft[chunk] === this.#peers.size;
    this.#check.takes(peer.member, place, frame.payload, isFirst);
    codec.add(place, frame.payload, isFirst);
    this.#acks.confirm(peer, peer.sums);
    if (--this.#addendsLeft[chunk]! === 0) {
      this.#check.totals(place);
      codec.finish(place);
      this.#check.has(selfIndex, place);
      this.#ownLeft--;
      this.#ownOutgoing.offer(chunk);
    }
    return "used";
  }

  #receiveFinished(peer: Peer, frame: TensorFrame): Reception {
    const { member, finished, outgoing } = peer;
    const place = this.#frames.placeOf(frame);
    if (place === null || frame.ownerIndex !== member) return "mismatched";
    // A total without our part is invalid, and its place still holds our part.
    if (!outgoing.wasSent(frame.chunkIndex)) return "mismatched";
    if (!finished.arrived.add(frame.chunkIndex)) return "duplicate";
    outgoing.confirmOne(member, frame.chunkIndex);
    this.#options.codec.takeResult(place, frame.payload);
    this.#check.has(member, place);
    this.#allGatherLeft--;
    this.#acks.confirm(peer, finished);
    return "used";
  }

  #receiveAck({ member, outgoing: sums }: Peer, { ownerIndex, payload }: TensorFrame): Reception {
    const isForSums = ownerIndex === member;
    if (!isForSums && ownerIndex !== this.#options.selfIndex) return "mismatched";
    const [wantsRest, ...words] = payload;
    const arrived = chunkSetOf(Int32Array.from(words), this.#frames.chunkCounts[ownerIndex]!);
    if (arrived === null) return "mismatched";
    const outgoing = isForSums ? sums : this.#ownOutgoing;
    outgoing.confirm(member, arrived);
    if (wantsRest === 1) outgoing.repeat(member);
    return "used";
  }

  /** Sends at most one chunk; false if there is none to send now. */
  sendNext(): boolean {
    const next = this.#streams.next();
    if (next !== null) this.#send(next.owner, next.sending);
    return next !== null;
  }

  #send(owner: number, { chunk, receiver }: Sending): void {
    const { selfIndex, codec, sender, stats } = this.#options;
    const isOwn = owner === selfIndex;
    const place = this.#frames.chunkAt(owner, chunk);
    const payload = isOwn ? codec.encodeResult(place) : codec.encodeSums(place);
    if (!isOwn && receiver === null) this.#check.gave(owner, place, payload);
    const frame = this.#frames.encodeChunk(owner, chunk, payload);
    if (!isOwn) sender.toOwner(owner, frame);
    // A finished chunk that one member missed goes to that member alone.
    else if (receiver !== null) sender.toOwner(receiver, frame);
    else sender.toAll(frame);
    stats.bytesSent += payload.byteLength;
    if (receiver !== null) stats.chunksRepeated++;
  }

  /** Sends each member that owes us chunks the set that we have, and asks for the rest. */
  askForMissing(): void {
    for (const peer of this.#peers.values()) this.#acks.askForRest(peer);
  }

  missing(): MissingFrom[] {
    return missingFrom(this.#peers.values(), this.#frames.chunkCounts);
  }

  /** The result is whole and our finished range is out. */
  get isComplete(): boolean {
    return this.#allGatherLeft === 0 && this.#ownLeft === 0 && this.#ownOutgoing.isSent;
  }

  /** Complete when the round is. */
  get checksums(): RoundChecksums {
    return this.#check.sums;
  }
}
