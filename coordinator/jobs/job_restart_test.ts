import { assert, assertEquals } from "@std/assert";
import { withWorld } from "../testing/app_fixture.ts";
import { holdBefore, submit } from "./job_service_fixture.ts";
import type { JobRecord } from "./record/job.ts";

Deno.test("a paused job stays paused after a restart; cancelling it leaves nothing with the fleet", () =>
  withWorld({}, async (before) => {
    const hold = holdBefore(before, 2);
    const job = await submit(before);
    await hold.reached;
    before.jobs.pause(job.id);
    await before.jobs.stop();
    await withWorld({ after: before }, (world) => {
      world.jobs.start();
      assertEquals(world.jobs.get(job.id).status, "paused");
      assertEquals(world.jobs.cancel(job.id).status, "cancelled");
      assertEquals([world.fleet.trained, [...world.fleet.ends]], [[], [[job.id, "cancelled"]]]);
      assertEquals(
        world.messages(job.id).at(-1),
        "The job was cancelled while it was paused.",
      );
      return Promise.resolve();
    });
  }));

Deno.test("after a restart, stored jobs with absurd numbers fail with the field and delay no other job", () =>
  withWorld({}, async (before) => {
    await before.jobs.stop();
    const [good, long, endless] = [await submit(before), await submit(before), await submit(before)];
    const absurd = (id: string, change: (spec: JobRecord["spec"]) => JobRecord["spec"]) => {
      const job = before.jobs.get(id);
      before.store.putJob({ ...job, spec: change(job.spec) }, []);
    };
    absurd(long.id, (spec) => ({ ...spec, dataset: { ...spec.dataset, max_seq_length: 2 ** 40 } }));
    absurd(endless.id, (spec) => ({ ...spec, training: { ...spec.training, num_train_epochs: 1e9 } }));
    await withWorld({ after: before }, async (world) => {
      world.jobs.start();
      const [first, second] = [await world.finished(long.id), await world.finished(endless.id)];
      assertEquals([first.error?.param, second.error?.param], [
        "dataset.max_seq_length",
        "training.num_train_epochs",
      ]);
      assertEquals((await world.finished(good.id)).status, "succeeded");
      assertEquals(world.defects, []);
    });
  }));

Deno.test("after a restart, a running job starts again and the others follow in order", () =>
  withWorld({}, async (before) => {
    const hold = holdBefore(before, 3);
    const [running, queued] = [await submit(before), await submit(before, "a")];
    await hold.reached;
    await before.until(queued.id, (job) => job.status === "queued");
    await before.jobs.stop();
    assertEquals([running, queued].map(({ id }) => before.jobs.get(id).status), ["running", "queued"]);
    await withWorld({ after: before }, async (world) => {
      world.jobs.start();
      assertEquals(world.jobs.get(running.id).status, "queued");
      const job = await world.finished(running.id);
      assertEquals([job.status, job.step, job.trainedTokens], ["succeeded", 4, 400]);
      assert(
        world.messages(job.id).includes(
          "The coordinator restarted while the job was running; the job is queued again.",
        ),
      );
      assertEquals(world.store.checkpoints(job.id, { after: null, limit: 9 }).items.length, 2);
      assertEquals((await world.finished(queued.id)).status, "succeeded");
      assertEquals(world.fleet.trained, [running.id, queued.id]);
    });
  }));

Deno.test("a job that was not prepared before a restart is prepared after it", () =>
  withWorld({}, async (before) => {
    await before.jobs.stop();
    const job = await submit(before);
    assertEquals(before.jobs.get(job.id).status, "validating_files");
    await withWorld({ after: before }, async (world) => {
      world.jobs.start();
      assertEquals((await world.finished(job.id)).status, "succeeded");
    });
  }));
