import { assert, assertEquals, assertMatch } from "@std/assert";
import { createFakeClock } from "../../shared/testing/fake_clock.ts";
import { messageOf } from "../../shared/errors.ts";
import { LIMITS } from "../../shared/protocol/limits.ts";
import { createFloodGuard } from "./flood_guard.ts";

function guarded() {
  const clock = createFakeClock(1_700_000_000_000);
  const [lines, thrownOut]: [string[], string[]] = [[], []];
  const guard = createFloodGuard({
    ...{ clock, limits: LIMITS },
    onDefect: (message, thrown) => lines.push(`${message}: ${messageOf(thrown)}`),
    onFlood: (_, reason) => thrownOut.push(reason),
  });
  return { clock, guard, lines, thrownOut };
}
const SUBJECT = "lf.heartbeat.w-a";

Deno.test("20,000 malformed messages make a log line or two and cut the worker off, once", async () => {
  const { clock, guard, lines, thrownOut } = guarded();
  for (let i = 0; i < 20_000; i++) guard.bad("w-a", SUBJECT, new Error("no JSON"), 0);
  assertEquals(lines, [`a message to ${SUBJECT} is ignored: no JSON`]);
  assertEquals(thrownOut.length, 1);
  assertMatch(thrownOut[0]!, /^w-a has sent too many messages .*: 1000 within 1 s, .*; the last: no JSON$/);
  await clock.advance(LIMITS.floodLogIntervalMs);
  guard.bad("w-a", SUBJECT, new Error("no JSON"), 0);
  assertEquals(lines[1], `a message to ${SUBJECT} is ignored; so were 19999 more of w-a before it: no JSON`);
  assertEquals([lines.length, thrownOut.length], [2, 1]);
});

Deno.test("a large message is dropped unread, and a few of them weigh as much as many small ones", () => {
  const { guard, thrownOut, lines } = guarded();
  let sent = 0;
  for (; thrownOut.length === 0; sent++) {
    assert(!guard.admits("w-a", SUBJECT, 7 * 2 ** 20, 65_536));
  }
  assertEquals(sent, 9);
  assertMatch(lines[0]!, /7340032 bytes, a message of its kind has 65536 at most/);
});

Deno.test("an occasional bad message is no flood, however long it goes on; workers count separately", async () => {
  const { clock, guard, thrownOut, lines } = guarded();
  for (let minute = 0; minute < 60; minute++) {
    for (let i = 0; i < LIMITS.badMessagesUntilCut - 1; i++) {
      guard.bad(`w-${i % 2}`, SUBJECT, new Error("x"), 0);
    }
    await clock.advance(LIMITS.floodWindowMs);
  }
  assertEquals([thrownOut, lines.length], [[], 120]);
});

Deno.test("a worker that exceeds the message rate is ignored for the rest of the second", async () => {
  const { clock, guard } = guarded();
  const admitted = () => {
    let count = 0;
    for (let i = 0; i < 2 * LIMITS.maxMessagesPerSecond; i++) {
      if (guard.admits("w-a", SUBJECT, 10, 100)) count++;
    }
    return count;
  };
  assertEquals(admitted(), LIMITS.maxMessagesPerSecond);
  assert(guard.admits("w-b", SUBJECT, 10, 100));
  await clock.advance(1000);
  assertEquals(admitted(), LIMITS.maxMessagesPerSecond);
});
