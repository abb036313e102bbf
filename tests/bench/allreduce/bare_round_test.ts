import { assertEquals } from "@std/assert";
import { BareRound } from "./bare_round.ts";

const RANGES = [{ offset: 0, count: 8 }, { offset: 8, count: 8 }];

/** Member `self` of two, with chunks of two elements and a window of two chunks. */
function memberOf(self: number): BareRound {
  const plan = { chunkElements: 2, windowChunks: 2 };
  return new BareRound({ number: 1, ranges: RANGES, plan, words: new Int32Array(16) }, self);
}

Deno.test("a member fills its window, waits for acks, and gathers the ranges that it reduced", () => {
  const member = memberOf(0);
  assertEquals(member.takeNext(1)?.owner, 1);
  assertEquals(member.takeNext(1)?.owner, 1);
  assertEquals(member.takeNext(1), null);
  member.receiveAck("sums", 1);
  assertEquals(member.takeNext(0)?.owner, 1);
  assertEquals(member.takeNext(0), null);
  assertEquals(member.receive("sums", 1, new Uint8Array(8)), true);
  assertEquals(member.takeNext(0)?.owner, 0);
});

Deno.test("two members are done only when everything is exchanged", () => {
  const members = [memberOf(0), memberOf(1)];
  let turns = 0;
  while (!members.every((member) => member.isDone)) {
    assertEquals(turns++ < 100, true, "the round hangs");
    members.forEach((member, self) => {
      const chunk = member.takeNext(turns);
      if (chunk === null) return;
      const kind = chunk.owner === self ? "range" : "sums";
      if (members[1 - self]!.receive(kind, self, chunk.bytes)) member.receiveAck(kind, 1 - self);
    });
  }
  assertEquals(members.map((member) => member.takeNext(0)), [null, null]);
});
