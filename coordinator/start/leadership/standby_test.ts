import { assertEquals, assertRejects } from "@std/assert";
import { createFakeClock } from "../../../shared/testing/fake_clock.ts";
import { LoraFleetError } from "../../../shared/errors.ts";
import { isRetryable, type Standby, waitToLead } from "./standby.ts";

const CONFLICT = new LoraFleetError("conflict", "taken");

function setUp(isAllowed = true) {
  const clock = createFakeClock();
  const logged: string[] = [];
  const stopping = new AbortController();
  const standby: Standby = {
    isAllowed,
    clock,
    signal: stopping.signal,
    log: (_level, message) => void logged.push(message),
  };
  return { clock, logged, stopping, standby };
}

Deno.test("leading at once logs nothing", async () => {
  const { standby, logged } = setUp();
  assertEquals(await waitToLead(standby, "the folder", 100, () => 7), 7);
  assertEquals(logged, []);
});

Deno.test("a standby logs once, retries at its interval, and takes over", async () => {
  const { clock, standby, logged } = setUp();
  let tries = 0;
  const answers = [CONFLICT, CONFLICT, new LoraFleetError("timeout", "no answer"), CONFLICT];
  const leading = waitToLead(standby, "the folder", 100, () => {
    const error = answers[tries++];
    if (error !== undefined) throw error;
    return "lease";
  });
  await clock.advance(399);
  assertEquals(tries, 4);
  await clock.advance(1);
  assertEquals([await leading, tries], ["lease", 5]);
  assertEquals(logged, [
    "another coordinator holds the folder: standing by to take over when it ends " +
    "(--no-standby ends it instead)",
    "the other coordinator has ended: taking over the folder",
  ]);
});

Deno.test("a conflict without standby, and any other error, rejects", async () => {
  const refuse = (error: Error) => () => Promise.reject(error);
  const { standby } = setUp(false);
  assertEquals(await assertRejects(() => waitToLead(standby, "it", 1, refuse(CONFLICT))), CONFLICT);
  const broken = new LoraFleetError("storage", "the disk is full");
  assertEquals(await assertRejects(() => waitToLead(setUp().standby, "it", 1, refuse(broken))), broken);
});

Deno.test("standing by ends with the signal's reason", async () => {
  const { clock, standby, stopping } = setUp();
  const waiting = waitToLead(standby, "it", 100, () => Promise.reject(CONFLICT));
  await clock.advance(250);
  const reason = new Error("Ctrl-C");
  stopping.abort(reason);
  assertEquals(await assertRejects(() => waiting), reason);
  assertEquals(await assertRejects(() => waitToLead(standby, "it", 100, () => 1)), reason);
});

Deno.test("a silent broker is retried only while standing by", () => {
  const timeout = new LoraFleetError("timeout", "no answer");
  assertEquals([isRetryable(timeout, false), isRetryable(timeout, true)], [false, true]);
  assertEquals([isRetryable(CONFLICT, false), isRetryable(new Error("?"), true)], [true, false]);
});
