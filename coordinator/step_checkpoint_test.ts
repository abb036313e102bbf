import { assertEquals, assertMatch } from "@std/assert";
import { checkpointWaitMs, LIMITS } from "../shared/limits.ts";
import type { CheckpointReport } from "../shared/messages.ts";
import { digestOf, type Driver, member, PLAN, started, words } from "./step_fixture.ts";
import { gradientBytesOf } from "./step_state.ts";

const plan = { ...PLAN, totalSteps: 1, checkpointSteps: [1] };
const HELD = { step: 1, digest: digestOf("step 1") };

function committed(names: readonly string[]): Driver {
  const driver = started(names, { plan });
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
  assertEquals(words(driver.drain()), ["checkpointed", "done"]);
});

Deno.test("a writer that fails, is gone or takes too long is replaced", () => {
  const driver = committed(["w-a", "w-b", "w-c"]);
  const report: CheckpointReport = { ...written("w-a"), outcome: { type: "failed", reason: "disk full" } };
  driver.apply({ type: "checkpoint", report });
  assertMatch(words(driver.drain())[0]!, /adapter of step 1 is not stored: w-a: disk full/);
  assertEquals(driver.training.checkpointWriter, "w-b");
  driver.fleet(member("w-a", HELD), member("w-c", HELD));
  assertEquals(driver.training.checkpointWriter, "w-c");
  driver.now += checkpointWaitMs(gradientBytesOf(driver.training), LIMITS);
  driver.apply({ type: "tick" });
  assertMatch(words(driver.drain())[0]!, /w-c did not store the adapter in/);
});

Deno.test("a disk that nobody can write to fails the job", () => {
  const driver = committed(["w-a"]);
  const report: CheckpointReport = { ...written("w-a"), outcome: { type: "failed", reason: "disk full" } };
  for (let time = 0; time < 5; time++) driver.apply({ type: "checkpoint", report });
  assertEquals(driver.training.phase, "failed");
  assertMatch(driver.reason, /could not be stored in 5 attempts: w-a: disk full/);
});

Deno.test("everybody is gone before the adapter is stored: a holder that comes back stores it", () => {
  const driver = committed(["w-a"]);
  driver.fleet();
  assertEquals([driver.training.phase, driver.training.checkpointWriter], ["checkpoint", null]);
  driver.apply({ type: "tick" });
  driver.fleet({ ...member("w-a", HELD), incarnation: "i-back" });
  assertEquals(driver.training.checkpointWriter, "w-a");
});

Deno.test("everybody is gone and only fresh workers come: the job starts again", () => {
  const driver = committed(["w-a"]);
  driver.fleet();
  driver.fleet(member("w-b", { step: 0, digest: digestOf("initial") }));
  driver.now += LIMITS.stateLossGraceMs;
  driver.apply({ type: "tick" });
  assertEquals(words(driver.drain()), ["restart"]);
});
