/** What a member exchanges with each of the others in a round. */
import { ChunkSet } from "./chunk_set.ts";
import { endOf } from "../plan/owner_ranges.ts";
import { OutgoingChunks } from "./outgoing_chunks.ts";
import type { RoundFrames, RoundFramesOptions } from "./round_frames.ts";

/** Chunks of one owner's range that one member sends us. */
export interface Incoming {
  readonly owner: number;
  readonly arrived: ChunkSet;
  /** Arrived since the last ack. */
  unconfirmed: number;
}

export interface Peer {
  readonly member: number;
  readonly sums: Incoming;
  readonly finished: Incoming;
  /** Our sums for its range. */
  readonly outgoing: OutgoingChunks;
}

export function createPeer(
  member: number,
  { selfIndex, plan: { windowChunks } }: Pick<RoundFramesOptions, "selfIndex" | "plan">,
  chunkCounts: readonly number[],
): Peer {
  const incoming = (owner: number) => ({ owner, arrived: new ChunkSet(chunkCounts[owner]!), unconfirmed: 0 });
  const outgoing = new OutgoingChunks(chunkCounts[member]!, [member], windowChunks);
  return { member, sums: incoming(selfIndex), finished: incoming(member), outgoing };
}

/** Offers the owner what is whole of its chunks, now that our first `count` sums are there. */
export function offerSums(
  { member, outgoing }: Peer,
  frames: Pick<RoundFrames, "chunkAt" | "chunkCounts">,
  count: number,
): void {
  while (outgoing.offeredCount < frames.chunkCounts[member]!) {
    const chunk = outgoing.offeredCount;
    if (endOf(frames.chunkAt(member, chunk)) > count) return;
    outgoing.offer(chunk);
  }
}

/** Chunks that one member still owes: of its sums for our range, and of its finished range. */
export interface MissingFrom {
  readonly member: number;
  readonly reduceScatterChunks: number;
  readonly allGatherChunks: number;
}

export function missingFrom(peers: Iterable<Peer>, chunkCounts: readonly number[]): MissingFrom[] {
  const leftOf = ({ owner, arrived }: Incoming) => chunkCounts[owner]! - arrived.size;
  return Array.from(peers, ({ member, sums, finished }) => ({
    member,
    reduceScatterChunks: leftOf(sums),
    allGatherChunks: leftOf(finished),
  })).filter(({ reduceScatterChunks, allGatherChunks }) => reduceScatterChunks + allGatherChunks > 0);
}
