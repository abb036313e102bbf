import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { LoraFleetError } from "../../shared/errors.ts";
import { ResettingEngine } from "../engine/resetting_engine.ts";
import { committedOf, inWorld, isLoaded, type World } from "../testing/agent_fixture.ts";
import { losingEngine, type LossAt } from "../testing/losing_engine.ts";
import { JOB } from "../testing/test_job.ts";
import { GpuHealth } from "./gpu_health.ts";

/** A worker that has loaded the job, on a GPU that is lost as `lossAt` says. */
async function startOn(world: World, lossAt: LossAt) {
  const { clock, coordinator } = world;
  coordinator.setJob(JOB);
  const worker = world.start("w-a", {
    newEngine: (tell) => new ResettingEngine(losingEngine(clock, lossAt).engine, { clock, tell }),
  });
  await world.until("it has loaded", () => isLoaded(worker));
  coordinator.announce({ committed: committedOf(worker), holders: ["w-a"] });
  return worker;
}

inWorld(
  "a GPU that is lost in mid-step: the worker stays a member, its step counts once, and heartbeats report it",
  async (world) => {
    const { coordinator } = world;
    const worker = await startOn(world, (number, call) => call === "readSums" && number > 4 && number < 9);
    assertEquals(worker.heartbeat!.gpuResets, undefined);
    const { job } = worker.heartbeat!;
    assertEquals(job?.phase === "loaded" && job.gpuMemory, { plannedBytes: 20 * 128, budgetBytes: null });
    await world.doStep(1);
    await world.until("it reports the reset", () => worker.heartbeat!.gpuResets === 1);
    await world.doStep(2);
    await world.until("it has committed", () => committedOf(worker)?.step === 2);
    assertEquals(coordinator.members, [{ worker: "w-a", incarnation: "i-w-a-1" }]);
    const log = worker.log.join("\n");
    assertStringIncludes(
      log,
      'warn Computing "readSums" failed: the device was lost: the GPU was reset; opening it again',
    );
    assertStringIncludes(log, "the GPU works again after");
    assertEquals(log.includes("is computed again:"), false, "no attempt failed");
  },
);

inWorld(
  "a GPU that is lost again and again: the worker leaves, and says why and what to do",
  async (world) => {
    const { coordinator } = world;
    const worker = await startOn(world, (_, call) => call === "computeGradient");
    const ended = assertRejects(() => worker.agent.ended, LoraFleetError, "was reset 4 times");
    coordinator.begin(1, 1, { exponents: [-20, -20] });
    await coordinator.enqueue(0);
    let hasEnded = false;
    ended.finally(() => hasEnded = true);
    await world.until("it has ended", () => hasEnded);
    const error = await ended;
    assertEquals(error.code, "gpu_failure");
    assert(
      coordinator.left.some((line) => line.startsWith("w-a: The GPU was reset 4 times within")),
      `${coordinator.left}`,
    );
  },
);

inWorld(
  "resets are the worker's, not a job's: four within an hour end it, although each job has an engine of its own",
  async (world) => {
    const { clock, coordinator } = world;
    let engines = 0;
    coordinator.setJob(JOB);
    const worker = world.start("w-a", {
      // The first load of each engine meets a reset.
      newEngine: (tell) => {
        engines++;
        const { engine } = losingEngine(clock, (number) => number === 1);
        return new ResettingEngine(engine, { clock, tell });
      },
    });
    let ended: unknown = null;
    worker.agent.ended.catch((thrown) => ended = thrown);
    for (let job = 1; job <= 3; job++) {
      await world.until(`job ${job} is loaded`, () => isLoaded(worker) && engines === job);
      await world.until("heartbeats count them all", () => worker.heartbeat!.gpuResets === job);
      assertEquals(ended, null);
      coordinator.setJob({ ...JOB, jobId: `${JOB.jobId}${job}`, startId: `${JOB.startId}${job}` });
    }
    await world.until("it has ended", () => ended !== null);
    assert(ended instanceof LoraFleetError);
    assertEquals([ended.code, engines], ["gpu_failure", 4]);
    assertStringIncludes(
      ended.message,
      'was reset 4 times within 1 min, the last time: Computing "load" failed: the device was lost. It does',
    );
  },
);

Deno.test("resets that are an hour apart end no worker, and its heartbeats count all of them", async () => {
  let [now, count, isBroken] = [0, 0, false];
  const health = new GpuHealth({ gpuWasReset: () => count++ }, { now: () => now });
  health.broken.catch(() => isBroken = true);
  for (let reset = 0; reset < 20; reset++, now += 60 * 60_000 / 3) {
    health.hear({ note: "lost", isReset: true });
  }
  health.hear({ note: "the GPU works again" });
  await Promise.resolve();
  assertEquals([count, isBroken], [20, false]);
});
