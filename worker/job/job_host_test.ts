import { assert, assertEquals, assertMatch } from "@std/assert";
import { LoraFleetError } from "../../shared/errors.ts";
import { committedOf, inWorld, isLoaded, startFleet } from "../testing/agent_fixture.ts";
import { JOB } from "../testing/test_job.ts";

inWorld("a job that cannot be loaded is reported, and the next one is loaded", async (world) => {
  const { coordinator } = world;
  coordinator.setJob(JOB);
  const worker = world.start("w-a", {
    findBaseModel: (_reply, job) =>
      job.startId === "s-1"
        ? Promise.reject(new LoraFleetError("does_not_fit", "too large", { param: "model" }))
        : Promise.resolve("/models/toy"),
  });
  await world.until("it has failed", () => worker.heartbeat?.job?.phase === "failed");
  const job = worker.heartbeat!.job!;
  assert(job.phase === "failed");
  assertEquals([job.code, job.message, job.param, job.startId], [
    "does_not_fit",
    "too large",
    "model",
    "s-1",
  ]);
  coordinator.setJob({ ...JOB, startId: "s-2" });
  await world.until("it has loaded", () => isLoaded(worker));
  assertEquals(worker.heartbeat!.job!.startId, "s-2");
});

inWorld("a job that is over is forgotten, and not loaded again while it is announced", async (world) => {
  const { coordinator } = world;
  const [worker] = await startFleet(world, ["w-a"]);
  await world.doStep(1);
  coordinator.announce({ phase: "done" });
  await world.until("it is forgotten", () => worker!.heartbeat!.job === null);
  await world.clock.advance(5000);
  assertEquals(worker!.heartbeat!.job, null);
  assertEquals(worker!.engine.callCounts, { ...worker!.engine.callCounts, load: 1, close: 1 });
});

inWorld("a cancelled job is called cancelled in the log, not failed", async (world) => {
  const { coordinator } = world;
  const [worker] = await startFleet(world, ["w-a"]);
  await world.doStep(1);
  coordinator.announce({ phase: "cancelled" });
  await world.until("it is forgotten", () => worker!.heartbeat!.job === null);
  assertMatch(worker!.log.at(-1)!, / info job ftjob-a was cancelled at step \d$/);
});

inWorld("the log says that a job starts again", async (world) => {
  const { coordinator } = world;
  const [worker] = await startFleet(world, ["w-a"]);
  const before = worker!.log.length;
  coordinator.setJob({ ...JOB, startId: "s-2" });
  await world.until(
    "it is loaded again",
    () => isLoaded(worker!) && worker!.heartbeat!.job!.startId === "s-2",
  );
  assertMatch(worker!.log[before]!, / info job ftjob-a starts again$/);
});

inWorld(
  "an engine that cannot be trusted is replaced, and the state comes from the others",
  async (world) => {
    const { coordinator } = world;
    coordinator.setJob(JOB);
    let engines = 0;
    const broken = world.start("w-a", {}, {
      fault: (call, number) => {
        if (call === "load") engines++;
        if (engines === 1 && call === "commit" && number === 1) {
          throw new LoraFleetError("gpu_failure", "lost");
        }
      },
    });
    const other = world.start("w-b");
    await world.until("both have loaded", () => isLoaded(broken) && isLoaded(other));
    coordinator.announce({ committed: committedOf(other), holders: ["w-a", "w-b"] });
    await world.doStep(1);
    coordinator.announce({ holders: ["w-b"] });
    await world.until("it has the state again", () => engines === 2 && committedOf(broken)?.step === 1);
    assertEquals(committedOf(broken), coordinator.state.committed);
  },
);

inWorld(
  "a worker with a full disk reports it, retries by itself, and takes part once there is room",
  async (world) => {
    const { coordinator, clock } = world;
    let tries = 0;
    let isFull = true;
    coordinator.setJob(JOB);
    const worker = world.start("w-a", {
      findBaseModel: () => {
        tries++;
        return isFull
          ? Promise.reject(new LoraFleetError("storage", "No space left on device"))
          : Promise.resolve("/models/base");
      },
    });
    const jobOf = () => coordinator.heartbeats.get("w-a")?.job;
    await world.until("it reports that", () => jobOf()?.phase === "failed");
    const phases = new Set<string | undefined>();
    for (let second = 0; second < 100; second++) {
      await clock.advance(1000);
      phases.add(jobOf()?.phase);
    }
    // 1, 2, 4, … s after each other, and the coordinator hears of one failure, not of each.
    assertEquals([tries, [...phases]], [7, ["failed"]]);
    const failure = jobOf();
    assert(failure?.phase === "failed" && failure.code === "storage");
    assertMatch(failure.message, /No space left on device; this worker tries again by itself: make room/);
    isFull = false;
    await world.until("it has loaded", () => isLoaded(worker));
  },
);

inWorld(
  "a worker's log shows a job's steps and tokens, and at commits of how many steps they are",
  async (world) => {
    const { coordinator } = world;
    coordinator.setJob({ ...JOB, totals: { steps: 40, tokens: 1600 } });
    const worker = world.start("w-a");
    await world.until("it has loaded", () => isLoaded(worker));
    const [memory, plan] = worker.log.slice(-2);
    assertMatch(memory!, /job ftjob-a is loaded: \d+ LoRA parameters/);
    assertMatch(plan!, / info job ftjob-a: the whole job has 40 steps with 1600 tokens, about 40 each/);
    await world.doStep(1);
    await world.until(
      "the commit",
      () => worker.log.some((line) => / step 1 is committed \(of 40\)$/.test(line)),
    );
  },
);
