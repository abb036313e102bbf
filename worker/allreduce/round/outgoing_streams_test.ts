import { assertEquals } from "@std/assert";
import { OutgoingChunks } from "./outgoing_chunks.ts";
import { OutgoingStreams } from "./outgoing_streams.ts";

const streamOf = (count: number, receivers: number[]) => {
  const outgoing = new OutgoingChunks(count, receivers, 4);
  for (let chunk = 0; chunk < count; chunk++) outgoing.offer(chunk);
  return outgoing;
};

Deno.test("streams take turns, beginning behind ourselves; an empty one is skipped", () => {
  const peers = new Map([0, 2].map((owner) => [owner, { outgoing: streamOf(owner === 0 ? 2 : 1, [owner]) }]));
  const streams = new OutgoingStreams(peers, 1, streamOf(1, [0, 2]));
  const next = () => {
    const taken = streams.next();
    return taken && [taken.owner, taken.sending.chunk];
  };
  assertEquals([next(), next(), next(), next(), next()], [[2, 0], [0, 0], [1, 0], [0, 1], null]);
});
