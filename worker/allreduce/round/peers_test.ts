import { assertEquals } from "@std/assert";
import { chunkRange } from "../plan/chunk_plan.ts";
import { createPeer, missingFrom, offerSums } from "./peers.ts";

const OPTIONS = { selfIndex: 0, plan: { chunkElements: 64, windowChunks: 4 } };
const CHUNK_COUNTS = [2, 3, 0];

/** Member 1 owns the elements 128 to 300, whose last chunk is a short one. */
const RANGES = [{ offset: 0, count: 128 }, { offset: 128, count: 172 }, { offset: 300, count: 0 }];
const FRAMES = {
  chunkCounts: CHUNK_COUNTS,
  chunkAt: (owner: number, chunk: number) => chunkRange(RANGES[owner]!, OPTIONS.plan.chunkElements, chunk),
};

Deno.test("our sums for a peer's range are ready at once if they are there", () => {
  const peer = createPeer(1, OPTIONS, CHUNK_COUNTS);
  assertEquals(peer.outgoing.next(), null);
  offerSums(peer, FRAMES, 300);
  assertEquals([0, 1, 2].map(() => peer.outgoing.next()?.chunk), [0, 1, 2]);
  assertEquals(peer.outgoing.next(), null);
});

Deno.test("of sums that come piece by piece each whole chunk is ready once", () => {
  const peer = createPeer(1, OPTIONS, CHUNK_COUNTS);
  const ready = [0, 127, 191, 192, 192, 299, 300, 300].map((count) => {
    offerSums(peer, FRAMES, count);
    return Array.from({ length: 3 }, () => peer.outgoing.next()?.chunk).filter((it) => it !== undefined);
  });
  assertEquals(ready, [[], [], [], [0], [], [1], [2], []]);
});

Deno.test("a peer owes its sums for our range and its finished range, until they have arrived", () => {
  const peers = [1, 2].map((member) => createPeer(member, OPTIONS, CHUNK_COUNTS));
  assertEquals(missingFrom(peers, CHUNK_COUNTS), [
    { member: 1, reduceScatterChunks: 2, allGatherChunks: 3 },
    { member: 2, reduceScatterChunks: 2, allGatherChunks: 0 },
  ]);
  for (const chunk of [0, 1]) peers[1]!.sums.arrived.add(chunk);
  peers[0]!.finished.arrived.add(2);
  assertEquals(missingFrom(peers, CHUNK_COUNTS), [{ member: 1, reduceScatterChunks: 2, allGatherChunks: 2 }]);
});
