import { assertEquals } from "@std/assert";
import { createPeer, missingFrom } from "./peers.ts";

const OPTIONS = { selfIndex: 0, plan: { chunkElements: 64, windowChunks: 4 } };
const CHUNK_COUNTS = [2, 3, 0];

Deno.test("our sums for a peer's range are ready at once", () => {
  const { outgoing } = createPeer(1, OPTIONS, CHUNK_COUNTS);
  assertEquals([0, 1, 2].map(() => outgoing.next()?.chunk), [0, 1, 2]);
  assertEquals(outgoing.next(), null);
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
