import { assert, assertEquals, assertMatch, assertNotEquals } from "@std/assert";
import { LIMITS } from "../../../shared/protocol/limits.ts";
import { MIX } from "../fault_plan.ts";
import { runAtScale, type ScaleOptions, type ScaleResult } from "./scale_run.ts";

const JOB: ScaleOptions = {
  seed: 1,
  limits: { ...LIMITS, heartbeatIntervalMs: 1000, lostAfterMissedHeartbeats: 6 },
  workerCount: 60,
  faultCount: 80,
  faultMix: MIX,
  faultsWithinMs: 40_000,
  startWithinMs: 1000,
  withinMs: 3_600_000,
  totalSteps: 8,
  microBatchesPerStep: 120,
  checkpointEvery: 3,
  computeMs: [200, 1200],
  parameterCount: 1_000_000,
  wireShare: 1,
  linkBytesPerSecond: [6e7, 12e7],
  latencyMs: [1, 20],
  broker: { outBytesPerSecond: 1e10, inBytesPerSecond: 1e10 },
};

function assertRight(result: ScaleResult, what: string): void {
  const { isFinished, lost, doubled, isSameDigest, bookFaults, lastLines } = result;
  assert(isFinished, `${what} is not finished:\n${lastLines.join("\n")}`);
  assertEquals([lost, doubled, bookFaults, isSameDigest], [0, 0, [], true], what);
}

Deno.test("whatever happens to a fleet of model workers, nothing is lost, and nothing is there twice", async () => {
  const types = new Set<string>();
  for (let seed = 1; seed <= 5; seed++) {
    const result = await runAtScale({ ...JOB, seed });
    assertRight(result, `seed ${seed}`);
    for (const type of Object.keys(result.faultCounts)) types.add(type);
    assertEquals(Object.values(result.faultCounts).reduce((sum, count) => sum + count, 0), JOB.faultCount);
  }
  const wanted = ["cut", "drain", "join", "kill", "killCoordinator", "stall", "weather"];
  assertEquals([...types].sort(), wanted);
});

Deno.test("a seed replays to the same trace, a different one does not; the digest depends on the job alone", async () => {
  const [first, again, other, few] = [
    await runAtScale({ ...JOB, seed: 7 }),
    await runAtScale({ ...JOB, seed: 7 }),
    await runAtScale({ ...JOB, seed: 8 }),
    await runAtScale({ ...JOB, seed: 7, workerCount: 9, faultCount: 5, faultsWithinMs: 20_000 }),
  ];
  assertEquals(first, again);
  assertNotEquals(first.traceHash, other.traceHash);
  assertRight(few, "nine workers");
  assertEquals([other.digest, few.digest], [first.digest, first.digest]);
});

const SMALL: ScaleOptions = { ...JOB, workerCount: 8, faultCount: 0, totalSteps: 3, microBatchesPerStep: 16 };

Deno.test("the books find a worker that adds a micro-batch twice", async () => {
  const result = await runAtScale({ ...SMALL, timesAdded: (_, number) => number === 20 ? 2 : 1 });
  assertEquals([result.isFinished, result.lost, result.doubled, result.isSameDigest], [true, 0, 1, false]);
  assertEquals(result.bookFaults, ["step 2 has micro-batch 20 2 times"]);
});

Deno.test("the books find a worker that forgets a micro-batch that was counted for it", async () => {
  const result = await runAtScale({ ...SMALL, timesAdded: (_, number) => number === 20 ? 0 : 1 });
  assertEquals([result.isFinished, result.lost, result.doubled, result.isSameDigest], [true, 1, 0, false]);
  assertEquals(result.bookFaults, ["step 2 has not got micro-batch 20"]);
});

Deno.test("a job that takes too long is not finished, and all of it counts as lost", async () => {
  const result = await runAtScale({ ...SMALL, computeMs: [1e6, 1e6], withinMs: 60_000 });
  assertEquals([result.isFinished, result.isSameDigest, result.lost], [false, false, 48]);
  assertMatch(result.bookFaults[0]!, /step 1 is not committed/);
});
