import { assertEquals } from "@std/assert";
import { ChunkSet } from "./chunk_set.ts";
import { OutgoingChunks } from "./outgoing_chunks.ts";

function setOf(chunkCount: number, chunks: number[]): ChunkSet {
  const set = new ChunkSet(chunkCount);
  chunks.forEach((chunk) => set.add(chunk));
  return set;
}

function sendAll(outgoing: OutgoingChunks): [chunk: number, receiver: number | null][] {
  const sent: [number, number | null][] = [];
  for (let next = outgoing.next(); next !== null; next = outgoing.next()) {
    sent.push([next.chunk, next.receiver]);
  }
  return sent;
}

function offered(chunkCount: number, receivers: number[], windowChunks: number): OutgoingChunks {
  const outgoing = new OutgoingChunks(chunkCount, receivers, windowChunks);
  for (let chunk = 0; chunk < chunkCount; chunk++) outgoing.offer(chunk);
  return outgoing;
}

Deno.test("no more than a window is in flight", () => {
  const outgoing = offered(5, [1], 2);
  assertEquals(sendAll(outgoing), [[0, null], [1, null]]);
  outgoing.confirm(1, setOf(5, [1]));
  assertEquals(sendAll(outgoing), [[2, null]]);
  outgoing.confirm(1, setOf(5, [0, 1, 2]));
  assertEquals([sendAll(outgoing), outgoing.isSent], [[[3, null], [4, null]], true]);
});

Deno.test("a chunk for many is in flight until the last one has it", () => {
  const outgoing = offered(2, [1, 2], 1);
  assertEquals(sendAll(outgoing), [[0, null]]);
  outgoing.confirmOne(1, 0);
  outgoing.confirmOne(1, 0);
  assertEquals(sendAll(outgoing), []);
  outgoing.confirmOne(2, 0);
  assertEquals(sendAll(outgoing), [[1, null]]);
});

Deno.test("a missing chunk is sent again, to its receiver alone, once, regardless of the window", () => {
  const outgoing = offered(4, [1, 2], 3);
  assertEquals(sendAll(outgoing).length, 3);
  outgoing.confirm(2, setOf(4, [1]));
  outgoing.repeat(2);
  outgoing.repeat(2);
  assertEquals(sendAll(outgoing), [[0, 2], [2, 2]]);
  outgoing.repeat(2);
  outgoing.confirmOne(2, 0);
  assertEquals(sendAll(outgoing), [[2, 2]]);
});

Deno.test("chunks go in the order in which they become ready", () => {
  const outgoing = new OutgoingChunks(3, [1], 3);
  assertEquals(sendAll(outgoing), []);
  outgoing.offer(2);
  outgoing.offer(0);
  assertEquals([sendAll(outgoing), outgoing.isSent], [[[2, null], [0, null]], false]);
  assertEquals([outgoing.wasSent(2), outgoing.wasSent(1)], [true, false]);
});

Deno.test("an ack for what was never sent, or of a stranger, is not believed", () => {
  const outgoing = offered(3, [1], 1);
  outgoing.next();
  outgoing.confirm(1, setOf(3, [1, 2]));
  outgoing.confirm(9, setOf(3, [0]));
  outgoing.repeat(9);
  assertEquals(sendAll(outgoing), []);
  outgoing.confirmOne(1, 0);
  assertEquals(sendAll(outgoing), [[1, null]]);
});

Deno.test("nothing to send is sent at once", () => {
  assertEquals(new OutgoingChunks(0, [1], 1).isSent, true);
});
