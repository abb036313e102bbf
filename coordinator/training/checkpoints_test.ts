import { assertEquals, assertMatch } from "@std/assert";
import { checkpointWaitMs, LIMITS } from "../../shared/protocol/limits.ts";
import type { CheckpointReport } from "../../shared/protocol/messages_worker.ts";
import { digestOf, type Driver, member, PLAN, started, summarize } from "./step_fixture.ts";
import { gradientBytesOf } from "./state/training.ts";

const plan = { ...PLAN, totalSteps: 1, checkpointSteps: [1] };
const HELD = { step: 1, digest: digestOf("step 1") };

function committed(names: readonly string[], options: { pauses?: boolean } = {}): Driver {
  const driver = started(names, { plan, ...options });
  driver.doStep();
  driver.drain();
  return driver;
}

function written(worker: string): CheckpointReport {
  const files = [{ name: "adapter_config.json", size: 1, sha256: "0".repeat(64) }];
  return { worker, incarnation: `i-${worker}`, step: 1, outcome: { type: "written", files } };
}

Deno.test("the last step's adapter is stored before the job is done", () => {
  const driver = committed(["w-a", "w-b"]);
  assertEquals([driver.training.phase, driver.training.checkpointWriter], ["checkpoint", "w-a"]);
  driver.apply({ type: "checkpoint", report: written("w-b") });
  assertEquals(driver.training.phase, "checkpoint");
  driver.apply({ type: "checkpoint", report: written("w-a") });
  assertEquals(driver.training.phase, "done");
  assertEquals(summarize(driver.drain()), ["checkpointed", "done"]);
});

Deno.test("a writer that fails, is gone or takes too long is replaced", () => {
  const driver = committed(["w-a", "w-b", "w-c"]);
  const report: CheckpointReport = { ...written("w-a"), outcome: { type: "failed", reason: "disk full" } };
  driver.apply({ type: "checkpoint", report });
  assertMatch(summarize(driver.drain())[0]!, /adapter of step 1 is not stored: w-a: disk full/);
  assertEquals(driver.training.checkpointWriter, "w-b");
  driver.fleet(member("w-a", HELD), member("w-c", HELD));
  assertEquals(driver.training.checkpointWriter, "w-c");
  driver.now += checkpointWaitMs(gradientBytesOf(driver.training), LIMITS);
  driver.apply({ type: "tick" });
  assertMatch(summarize(driver.drain())[0]!, /w-c did not store the adapter in/);
});

const failed = (worker: string): CheckpointReport => (
  { ...written(worker), outcome: { type: "failed", reason: "disk full" } }
);

Deno.test("the last step's adapter is retried for as long as clearing a disk may take, ever more rarely", () => {
  const driver = committed(["w-a"], { pauses: true });
  const fail = () => void driver.apply({ type: "checkpoint", report: failed("w-a") });
  const pauses: number[] = [];
  for (let time = 0; time < 9; time++) {
    fail();
    assertEquals([driver.training.phase, driver.training.checkpointWriter], ["checkpoint", null]);
    // No worker is asked before.
    driver.fleet(member("w-a", HELD));
    assertEquals(driver.training.checkpointWriter, null);
    const { notBefore } = driver.training;
    pauses.push(notBefore - driver.now);
    driver.now = notBefore;
    driver.apply({ type: "tick" });
    assertEquals(driver.training.checkpointWriter, "w-a");
  }
  assertEquals(pauses, [1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000, 60_000]);
  // Five of the nine failures, and the eighth: a disk that is full for hours does not fill the events.
  assertEquals(summarize(driver.drain()).filter((line) => line.includes("disk full")).length, 6);
  // A disk is no matter of blame.
  assertEquals(driver.training.strikes.size, 0);
  driver.apply({ type: "checkpoint", report: written("w-a") });
  assertEquals(driver.training.phase, "done");
});

Deno.test("a last adapter that cannot be stored in a whole day fails the job with the reason", () => {
  const driver = committed(["w-a"], { pauses: true });
  driver.now += LIMITS.finalCheckpointPatienceMs;
  driver.apply({ type: "checkpoint", report: failed("w-a") });
  assertEquals(driver.training.phase, "failed");
  assertMatch(driver.reason, /could not be stored in 1 attempts over 1440 minutes: w-a: disk full/);
});

Deno.test("a different holder is asked at once, the same one after a pause, and training goes on without the checkpoint", () => {
  const driver = started(["w-a", "w-b"], {
    plan: { ...PLAN, totalSteps: 2, checkpointSteps: [1, 2] },
    pauses: true,
  });
  driver.doStep();
  driver.drain();
  const writers: (string | null)[] = [];
  while (driver.training.phase === "checkpoint") {
    const writer = driver.training.checkpointWriter;
    writers.push(writer);
    if (writer === null) {
      driver.now = driver.training.notBefore;
      driver.apply({ type: "tick" });
    } else driver.apply({ type: "checkpoint", report: failed(writer) });
  }
  assertEquals(writers, ["w-a", "w-b", null, "w-a", null, "w-b", null, "w-a"]);
  assertEquals([driver.training.step, driver.training.phase], [2, "compute"]);
  assertMatch(
    summarize(driver.drain()).join("\n"),
    /warn: Training goes on without the checkpoint of step 1: it could not be stored in 5 attempts\./,
  );
  // The next checkpoint begins afresh.
  driver.doStep();
  assertEquals([driver.training.phase, driver.training.checkpointWriter], ["checkpoint", "w-a"]);
});

Deno.test("all workers are gone before the adapter is stored: a holder that comes back stores it", () => {
  const driver = committed(["w-a"]);
  driver.fleet();
  assertEquals([driver.training.phase, driver.training.checkpointWriter], ["checkpoint", null]);
  driver.apply({ type: "tick" });
  driver.fleet({ ...member("w-a", HELD), incarnation: "i-back" });
  assertEquals(driver.training.checkpointWriter, "w-a");
});

Deno.test("all workers are gone and only fresh ones come: the job starts again", () => {
  const driver = committed(["w-a"]);
  driver.fleet();
  driver.fleet(member("w-b", { step: 0, digest: digestOf("initial") }));
  driver.now += LIMITS.stateLossGraceMs;
  driver.apply({ type: "tick" });
  assertEquals(summarize(driver.drain()), ["restart"]);
});
