import { assertEquals, assertMatch } from "@std/assert";
import type { Books } from "./books.ts";
import { complaintsAbout, summarise } from "./report.ts";
import type { FaultOutcome, RunOutcome } from "./run.ts";

const BOOKS: Books = { stepCount: 2, microBatchCount: 4, lost: [], doubled: [], foreign: [] };

function outcome(nextCommitMs: number, change: Partial<RunOutcome> = {}): RunOutcome {
  const fault: FaultOutcome = {
    ...{ step: 2, delayMs: 0, whom: 0, fault: { type: "kill worker" }, worker: "worker-1", atMs: 1000 },
    nextCommitMs,
  };
  return {
    ...{ adapterSha256: "aa", books: BOOKS, faults: [fault], joinMs: [900], medianStepMs: 500, corrupted: 0 },
    ...{ duplicated: 0, starts: 1, totalMs: 10_000, ...change },
  };
}

Deno.test("a different adapter, and micro-batches that are not there once, are complained about", () => {
  assertEquals(complaintsAbout(outcome(1), "aa"), []);
  assertEquals(complaintsAbout(outcome(1), "bb").length, 1);
  for (const what of ["lost", "doubled", "foreign"] as const) {
    const [complaint] = complaintsAbout(outcome(1, { books: { ...BOOKS, [what]: [3] } }), "aa");
    assertMatch(complaint!, /3$/);
  }
});

Deno.test("medians have bounds, whatever single times are", () => {
  const slow = summarise([outcome(100), outcome(3001), outcome(3002)]);
  assertEquals(slow.isWithinBounds, false);
  assertMatch(slow.lines[0]!, /median\s+3\.00 s, longest\s+3\.00 s, of 3; NOT WITHIN 3\.00 s/);
  const quick = summarise([outcome(100), outcome(2900), outcome(9000)]);
  assertEquals(quick.isWithinBounds, true);
  assertMatch(quick.lines[0]!, /median\s+2\.90 s, longest\s+9\.00 s, of 3; within 3\.00 s/);
  assertMatch(quick.lines[1]!, /never/);
  assertEquals(summarise([outcome(1, { joinMs: [15_001] })]).isWithinBounds, false);
});
