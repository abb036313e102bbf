import { assertEquals } from "@std/assert";
import { withWorld } from "../testing/app_fixture.ts";
import { fakePrepare } from "../testing/fake_preparer.ts";
import { submit } from "./job_service_fixture.ts";

Deno.test("a bad dataset fails the job with the line, and the next job trains", () =>
  withWorld({}, async (world) => {
    const [bad, good] = [await submit(world, "a\n\nb"), await submit(world, "a")];
    const failed = await world.finished(bad.id);
    assertEquals([failed.status, failed.error], ["failed", {
      code: "invalid_dataset",
      message: "train.jsonl, line 2 is empty",
      param: "training_file",
    }]);
    assertEquals((await world.finished(good.id)).status, "succeeded");
    assertEquals(world.fleet.trained, [good.id]);
  }));

Deno.test("a defect fails the job and is reported", () =>
  withWorld({}, async (world) => {
    const failed = await world.finished((await submit(world, "defect")).id);
    assertEquals(failed.error?.code, "internal_error");
    assertEquals(world.defects, [`job ${failed.id} failed: a defect with secrets`]);
  }));

Deno.test("two jobs are prepared at a time, and an endless preparation leaves room for the others", async () => {
  let going = 0;
  let most = 0;
  const prepare: typeof fakePrepare = async (request) => {
    most = Math.max(most, ++going);
    try {
      if (request.spec.seed !== 1) return await fakePrepare(request);
      return await new Promise((_, reject) =>
        request.signal.addEventListener("abort", () => reject(request.signal.reason))
      );
    } finally {
      going--;
    }
  };
  await withWorld({ prepare }, async (world) => {
    const hanging = await submit(world, "a", { seed: 1 });
    for (let count = 0; count < 10; count++) {
      const { id } = await submit(world, "a");
      await world.until(id, ({ status }) => status === "queued");
    }
    assertEquals([most, world.jobs.get(hanging.id).status], [2, "validating_files"]);
    assertEquals(world.jobs.cancel(hanging.id).status, "cancelled");
  });
});
