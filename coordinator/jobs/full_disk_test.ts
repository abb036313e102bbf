import { assertEquals, assertMatch } from "@std/assert";
import { systemClock } from "../../shared/clock.ts";
import { LoraFleetError } from "../../shared/errors.ts";
import { withWorld } from "../testing/app_fixture.ts";
import { holdBefore, submit } from "./job_service_fixture.ts";
import type { JobStore } from "./stores/job_store.ts";
import { openSqliteJobStore } from "./stores/sqlite_job_store.ts";

/** Refuses writes while `disk.isFull`. */
function fullStore(disk: { isFull: boolean }): JobStore {
  const store = openSqliteJobStore(":memory:");
  const onDisk = <A extends unknown[], T>(work: (...rest: A) => T) => (...rest: A): T => {
    if (disk.isFull) throw new LoraFleetError("storage", "database or disk is full");
    return work(...rest);
  };
  return {
    ...store,
    putJob: onDisk(store.putJob),
    appendEvents: onDisk(store.appendEvents),
    putCheckpoint: onDisk(store.putCheckpoint),
    putFile: onDisk(store.putFile),
  };
}

Deno.test("while the disk is full a training job's records wait; none is lost or stored twice, and the job succeeds", async () => {
  const disk = { isFull: false };
  await withWorld({ store: fullStore(disk) }, async (world) => {
    const hold = holdBefore(world, 2);
    const job = await submit(world);
    await hold.reached;
    disk.isFull = true;
    hold.release();
    // Submissions fail meanwhile, with the reason.
    const response = await world.app.request("/v1/fine_tuning/jobs", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ model: "org/tiny", training_file: job.spec.training_file }),
    });
    const { error } = await response.json();
    assertEquals([response.status, error.code, error.message], [507, "storage", "database or disk is full"]);
    await systemClock.sleep(300);
    assertEquals([world.jobs.get(job.id).status, world.jobs.get(job.id).step], ["running", 1]);
    disk.isFull = false;
    assertEquals((await world.finished(job.id)).status, "succeeded");
    const steps = world.messages(job.id).filter((message) => message.startsWith("Step "));
    assertEquals(steps.map((message) => message.slice(0, 8)), [
      "Step 1/4",
      "Step 2/4",
      "Step 3/4",
      "Step 4/4",
    ]);
    const delays = world.messages(job.id).filter((message) => message.includes("could not be stored"));
    assertEquals(delays.length, 1);
    assertMatch(delays[0]!, /^The job's records could not be stored for [0-2] s; none of them is lost\.$/);
    const { items } = world.store.checkpoints(job.id, { after: null, limit: 9 });
    assertEquals(items.map(({ step }) => step), [4, 2]);
    // The metrics, and the adapter with its configuration.
    assertEquals(world.jobs.get(job.id).resultFiles.length, 3);
    assertEquals(world.defects, ["POST /v1/fine_tuning/jobs: database or disk is full"]);
  });
});

Deno.test("a stopping coordinator does not wait for room on a full disk", async () => {
  const disk = { isFull: false };
  await withWorld({ store: fullStore(disk) }, async (world) => {
    const hold = holdBefore(world, 2);
    const job = await submit(world);
    await hold.reached;
    disk.isFull = true;
    hold.release();
    await systemClock.sleep(50);
    await world.jobs.stop();
    assertEquals(world.jobs.get(job.id).status, "running");
  });
});
