import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { createFakeClock } from "../../../shared/testing/fake_clock.ts";
import { LoraFleetError } from "../../../shared/errors.ts";
import { createPatientWrites } from "./patient_writes.ts";

function setUp() {
  const clock = createFakeClock();
  const disk = { isFull: false, tries: 0 };
  const written: string[] = [];
  const logged: string[] = [];
  const writes = createPatientWrites({
    clock,
    log: (level, message) => void logged.push(`${level} ${message}`),
    onOver: (waitedMs) => void writes.add(() => written.push(`waited ${waitedMs}`)),
  });
  const write = (what: string, signal?: AbortSignal) =>
    writes.add(() => {
      disk.tries++;
      if (disk.isFull) throw new LoraFleetError("storage", "database or disk is full");
      written.push(what);
      return what;
    }, signal);
  return { clock, disk, written, logged, writes, write };
}

Deno.test("with an empty queue a write happens synchronously", async () => {
  const { write, written, logged } = setUp();
  const done = write("a");
  assertEquals(written, ["a"]);
  assertEquals([await done, logged], ["a", []]);
});

Deno.test("after a full disk every write happens in order and once, with one log line at each end", async () => {
  const { clock, disk, write, written, logged } = setUp();
  disk.isFull = true;
  const done = Promise.all(["a", "b", "c"].map((what) => write(what)));
  await clock.advance(60_000);
  assertEquals([written, logged.length], [[], 1]);
  assertMatch(logged[0]!, /^error database or disk is full; records wait for room, and none is lost$/);
  // 0.1 s, doubled, up to 5 s: a minute is no busy loop.
  assertEquals(disk.tries < 25, true, `${disk.tries} tries`);
  disk.isFull = false;
  await clock.advance(5000);
  assertEquals(await done, ["a", "b", "c"]);
  assertEquals(written.slice(0, 3), ["a", "b", "c"]);
  assertMatch(written[3]!, /^waited 6\d{4}$/);
  assertMatch(logged[1]!, /^info all records are written after 6\d s$/);
});

Deno.test("an aborted write never happens; a defect is thrown at once", async () => {
  const { clock, disk, writes, write, written } = setUp();
  const cancelling = new AbortController();
  disk.isFull = true;
  const [first, second] = [write("a", cancelling.signal), write("b")];
  const cancelled = assertRejects(() => first, LoraFleetError, "cancelled");
  cancelling.abort(new LoraFleetError("aborted", "cancelled"));
  await cancelled;
  disk.isFull = false;
  await clock.advance(5000);
  assertEquals([await second, written[0]], ["b", "b"]);
  await assertRejects(() =>
    writes.add(() => {
      throw new TypeError("a defect");
    }), TypeError);
});

Deno.test("closing drops what the disk refuses, without waiting", async () => {
  const { disk, writes, write } = setUp();
  disk.isFull = true;
  const dropped = assertRejects(() => write("a"), LoraFleetError, "stopping");
  writes.close();
  await dropped;
  await assertRejects(() => write("b"), LoraFleetError, "stopping");
});
