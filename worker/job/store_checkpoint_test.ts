import { assertEquals } from "@std/assert";
import { LoraFleetError } from "../../shared/errors.ts";
import { committedOf, inWorld, isLoaded } from "../testing/agent_fixture.ts";
import { JOB } from "../testing/test_job.ts";

inWorld(
  "the checkpoint's writer stores and reports it once; a failure is reported with its reason",
  async (world) => {
    const { coordinator, clock } = world;
    let tries = 0;
    coordinator.setJob(JOB);
    const worker = world.start("w-a", {
      writeCheckpoint: (_reply, _engine, _job, step) =>
        ++tries === 1
          ? Promise.reject(new LoraFleetError("storage", "disk full"))
          : Promise.resolve([{ name: "adapter_config.json", size: step, sha256: "a".repeat(64) }]),
    });
    await world.until("it has loaded", () => isLoaded(worker));
    coordinator.announce({ committed: committedOf(worker), holders: ["w-a"] });
    await world.doStep(1);
    coordinator.announce({ step: 1, phase: "checkpoint", checkpointWriter: "w-b" });
    await clock.advance(2000);
    assertEquals(tries, 0);
    coordinator.announce({ phase: "checkpoint", checkpointWriter: "w-a" });
    await world.until("it has failed", () => coordinator.checkpoints.length === 1);
    assertEquals(coordinator.checkpoints[0]!.outcome, { type: "failed", reason: "disk full" });
    await clock.advance(3000);
    assertEquals(tries, 1);
    coordinator.announce({ phase: "checkpoint", checkpointWriter: "w-a" });
    await world.until("it is written", () => coordinator.checkpoints.length === 2);
    assertEquals([coordinator.checkpoints[1]!.step, coordinator.checkpoints[1]!.outcome.type], [
      1,
      "written",
    ]);
    await clock.advance(3000);
    assertEquals([tries, coordinator.checkpoints.length], [2, 2]);
  },
);
