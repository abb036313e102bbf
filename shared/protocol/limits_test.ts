import { assert, assertEquals } from "@std/assert";
import {
  announcementPauseMs,
  auditWaitMs,
  checkpointWaitMs,
  LIMITS,
  lostAt,
  maxExcludedOfJob,
  maxExcludedOfStep,
  microBatchWaitMs,
  recoverWaitMs,
  roundWaitMs,
} from "./limits.ts";

Deno.test("a worker is lost after enough missed heartbeats", () => {
  assertEquals(lostAt(1000, { ...LIMITS, heartbeatIntervalMs: 100, lostAfterMissedHeartbeats: 5 }), 1500);
});

Deno.test("the wait for a micro-batch follows the slowest one", () => {
  assertEquals(microBatchWaitMs(null, LIMITS), LIMITS.firstMicroBatchDeadlineMs);
  assertEquals(microBatchWaitMs(1, LIMITS), LIMITS.microBatchDeadlineMs);
  assertEquals(microBatchWaitMs(10_000, LIMITS), 10_000 * LIMITS.microBatchDeadlineFactor);
});

Deno.test("waits for transfers allow for the slowest link", () => {
  const mebibyte = 2 ** 20;
  assertEquals(roundWaitMs(mebibyte, LIMITS), LIMITS.transferBaseMs + 3000);
  assertEquals(recoverWaitMs(0, LIMITS), LIMITS.transferBaseMs);
  assertEquals(checkpointWaitMs(10 * mebibyte, LIMITS), LIMITS.checkpointBaseMs + 10_000);
});

Deno.test("changes of few members are announced at once, of many after a pause, at the latest with the next repetition", () => {
  assertEquals([1, 4, 100, 1000].map((count) => announcementPauseMs(count, LIMITS)), [0, 0, 20, 200]);
  assertEquals(announcementPauseMs(1e6, LIMITS), LIMITS.announcementIntervalMs);
});

Deno.test("the limits fit each other", () => {
  assert(LIMITS.eventLoopTickMs < LIMITS.heartbeatIntervalMs);
  assert(LIMITS.requestTimeoutMs < LIMITS.heartbeatIntervalMs * LIMITS.lostAfterMissedHeartbeats);
  assert(LIMITS.announcementIntervalMs < LIMITS.coordinatorSilentMs);
  assert(LIMITS.leaderLeaseMs < LIMITS.coordinatorSilentMs);
  assert(
    LIMITS.microBatchAckWaitMs < LIMITS.microBatchDeadlineMs,
    "an item is redelivered before the attempt ends",
  );
  assert(LIMITS.strikesUntilDropped < LIMITS.maxAttemptsPerStep);
});

Deno.test("audits end before the attempt does", () => {
  for (const slowestMs of [null, 1, 1000, 10_000, 1_000_000]) {
    assert(auditWaitMs(slowestMs, LIMITS) < microBatchWaitMs(slowestMs, LIMITS), `${slowestMs} ms`);
  }
});

Deno.test("a few bad samples may be excluded, one in any case", () => {
  assertEquals([1, 3, 4, 8, 100].map((count) => maxExcludedOfStep(count, LIMITS)), [1, 1, 1, 2, 25]);
  assertEquals([1, 100, 1000, 100_000].map((count) => maxExcludedOfJob(count, LIMITS)), [4, 4, 10, 1000]);
});
