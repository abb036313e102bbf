import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { LoraFleetError } from "../../shared/errors.ts";
import { withWorld } from "../testing/app_fixture.ts";
import { fakePrepare } from "../testing/fake_preparer.ts";
import { holdBefore, submit } from "./job_service_fixture.ts";

Deno.test("a running job is cancelled at once: it records nothing more, and the next one trains", () =>
  withWorld({}, async (world) => {
    const hold = holdBefore(world, 2);
    const [first, second] = [await submit(world), await submit(world)];
    await hold.reached;
    assertEquals(world.jobs.cancel(first.id).status, "cancelled");
    assertEquals((await world.finished(second.id)).status, "succeeded");
    const job = world.jobs.get(first.id);
    assertEquals([job.status, job.step, job.error], ["cancelled", 1, null]);
    assertEquals(world.messages(first.id).at(-1), "The job was cancelled while it was running.");
    assertEquals(assertThrows(() => world.jobs.cancel(first.id), LoraFleetError).code, "conflict");
  }));

Deno.test("queued jobs and jobs in preparation can be cancelled", async () => {
  const preparing = Promise.withResolvers<void>();
  let aborted = false;
  await withWorld({
    prepare: ({ signal }) => {
      preparing.resolve();
      return new Promise((_, reject) =>
        signal.addEventListener("abort", () => {
          aborted = true;
          reject(signal.reason);
        })
      );
    },
  }, async (world) => {
    const job = await submit(world);
    await preparing.promise;
    world.jobs.cancel(job.id);
    assert(aborted);
    assertStringIncludes(world.messages(job.id).at(-1)!, "while it was validating_files");
  });
  await withWorld({}, async (world) => {
    const hold = holdBefore(world, 1);
    const [running, queued] = [await submit(world), await submit(world)];
    await world.until(queued.id, (job) => job.status === "queued");
    await hold.reached;
    world.jobs.cancel(queued.id);
    hold.release();
    await world.finished(running.id);
    assertEquals(world.fleet.trained, [running.id]);
  });
});

Deno.test("a paused job lets others go first and continues once resumed", () =>
  withWorld({}, async (world) => {
    const hold = holdBefore(world, 3);
    const [first, second] = [await submit(world), await submit(world)];
    await hold.reached;
    assertEquals(world.jobs.pause(first.id).status, "paused");
    world.fleet.beforeStep = () => Promise.resolve();
    assertEquals((await world.finished(second.id)).status, "succeeded");
    const paused = world.jobs.get(first.id);
    assertEquals([paused.status, paused.step, paused.error], ["paused", 2, null]);
    assertEquals(
      world.messages(first.id).at(-1),
      "The job was paused while it was running, after step 2.",
    );
    assertEquals(assertThrows(() => world.jobs.pause(first.id), LoraFleetError).code, "conflict");
    assertEquals(world.jobs.resume(first.id).status, "queued");
    assertEquals((await world.finished(first.id)).status, "succeeded");
    assert(world.messages(first.id).includes("The job was resumed, after step 2; it is queued again."));
    assertEquals(world.fleet.trained, [first.id, second.id, first.id]);
    // Its log stays as long as the job can continue.
    await world.jobs.stop();
    assertEquals([...world.fleet.ends], [[second.id, "done"], [first.id, "done"]]);
    assertEquals(world.defects, []);
  }));

Deno.test("a job that is paused and resumed repeatedly, at any moment, succeeds", () =>
  withWorld({}, async (world) => {
    const job = await submit(world);
    let pauses = 0;
    const flip = () => {
      if (world.jobs.get(job.id).status === "paused") return;
      world.jobs.pause(job.id);
      world.jobs.resume(job.id);
      pauses++;
    };
    flip();
    await world.until(job.id, ({ status }) => status === "queued");
    flip();
    for (const heldStep of [1, 4]) {
      const hold = holdBefore(world, heldStep);
      await hold.reached;
      flip();
      flip();
    }
    world.fleet.beforeStep = () => Promise.resolve();
    assertEquals([(await world.finished(job.id)).status, pauses], ["succeeded", 6]);
    assertEquals(world.defects, []);
  }));

Deno.test("a job that is paused in preparation is prepared once resumed", async () => {
  const preparing = Promise.withResolvers<void>();
  let isFirst = true;
  await withWorld({
    prepare: (request) => {
      if (!isFirst) return fakePrepare(request);
      isFirst = false;
      preparing.resolve();
      return new Promise((_, reject) =>
        request.signal.addEventListener("abort", () => reject(request.signal.reason))
      );
    },
  }, async (world) => {
    const job = await submit(world);
    await preparing.promise;
    assertEquals(world.jobs.pause(job.id).status, "paused");
    assertEquals(world.jobs.resume(job.id).status, "validating_files");
    assertEquals((await world.finished(job.id)).status, "succeeded");
  });
});
