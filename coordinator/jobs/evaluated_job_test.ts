import { assertEquals } from "@std/assert";
import { withWorld, type World } from "../testing/app_fixture.ts";
import { fakePrepare } from "../testing/fake_preparer.ts";
import { submit } from "./job_service_fixture.ts";

/** The fake fleet evaluates every second step; its loss is the lowest in the middle of the job. */
async function evaluatedJob(world: World, training: Record<string, unknown> = {}, text = "a\nb\nc\nd") {
  const validation = await world.upload("rows");
  return await submit(world, text, { validation_file: validation.id, training });
}

Deno.test("an evaluation is an event with OpenAI's names, a line of the CSV, and the checkpoint's metrics", () =>
  withWorld({}, async (world) => {
    const job = await world.finished((await evaluatedJob(world)).id);
    assertEquals([job.status, job.best, job.validationFile === null], [
      "succeeded",
      { step: 4, value: 1 },
      false,
    ]);
    const events = world.store.eventsSince(job.id, 0, 999).filter(({ data }) =>
      data?.["eval_tokens"] !== undefined
    );
    assertEquals(events.map(({ data }) => [data!["step"], data!["full_valid_loss"]]), [
      [2, 3],
      [4, 1],
      [6, 3],
      [8, 5],
    ]);
    assertEquals([events[1]!.type, events[1]!.data], ["metrics", {
      ...{ step: 4, total_steps: 8, epoch: 0.5, train_loss: 0.5 },
      ...{
        valid_loss: 1,
        full_valid_loss: 1,
        valid_mean_token_accuracy: 0.2,
        full_valid_mean_token_accuracy: 0.2,
      },
      ...{ eval_tokens: 12, eval_seconds: 0.25, workers: 2, best_step: 4, best_metric: 1 },
    }]);
    assertEquals(
      events[1]!.message,
      "Step 4/8: training loss=0.5000, full validation loss=1.0000, token accuracy=20.0%",
    );
    const csv = await Deno.readTextFile(await world.files.path(world.files.get(job.resultFiles[0]!)));
    assertEquals(csv.split("\n").slice(0, 5), [
      "step,train_loss,train_accuracy,valid_loss,valid_mean_token_accuracy",
      "1,2,0,,",
      `2,1,0.5,3,${1 / 3}`,
      `3,${2 / 3},${1 - 1 / 3},,`,
      "4,0.5,0.75,1,0.2",
    ]);
    const list = await (await world.app.request(`/v1/fine_tuning/jobs/${job.id}/checkpoints`)).json();
    assertEquals(list.data.map(({ metrics }: { metrics: unknown }) => metrics)[1], {
      ...{ step: 4, train_loss: 0.5, train_mean_token_accuracy: 0.75 },
      ...{ valid_loss: 1, valid_mean_token_accuracy: 0.2 },
      ...{ full_valid_loss: 1, full_valid_mean_token_accuracy: 0.2 },
    });
  }));

Deno.test("load_best_model_at_end: the result is the best checkpoint's adapter, under the job's name", () =>
  withWorld({}, async (world) => {
    const job = await world.finished((await evaluatedJob(world, { load_best_model_at_end: true })).id);
    assertEquals([job.status, job.step, job.resultStep], ["succeeded", 8, 4]);
    const results = job.resultFiles.map((id) => world.files.get(id));
    assertEquals(await Deno.readTextFile(await world.files.path(results[1]!)), '{"step":4}');
    const last = world.messages(job.id).at(-1);
    assertEquals(last, "The job has succeeded: 8 steps, 800 tokens; the result is the adapter of step 4.");
    // Deleting the result leaves the newest checkpoint alone, and the other way round.
    const model = encodeURIComponent(job.fineTunedModel!);
    assertEquals((await world.app.request(`/v1/models/${model}`, { method: "DELETE" })).status, 200);
    const { items } = world.store.checkpoints(job.id, { after: null, limit: 9 });
    assertEquals(items.map(({ step }) => step), [8, 4]);
    assertEquals(await world.artifacts.steps(job.id), [4, 8]);
  }));

Deno.test("without load_best_model_at_end the result is the last step's, and a job without evaluation has no best", () =>
  withWorld({}, async (world) => {
    const evaluated = await world.finished((await evaluatedJob(world)).id);
    const plain = await world.finished((await submit(world)).id);
    assertEquals([evaluated.resultStep, plain.resultStep, plain.best], [undefined, undefined, null]);
    const results = evaluated.resultFiles.map((id) => world.files.get(id));
    assertEquals(await Deno.readTextFile(await world.files.path(results[1]!)), '{"step":8}');
  }));

Deno.test("evaluations on record survive a restart of training; those after a rollback are void", () =>
  withWorld({}, async (world) => {
    const train = world.fleet.train.bind(world.fleet);
    const seen: unknown[] = [];
    world.fleet.train = async (job, observer, signal) => {
      await train(job, observer, signal);
      seen.push(await observer.starting(8), await observer.starting(5), await observer.starting(8));
    };
    await world.finished((await evaluatedJob(world)).id);
    const stepsOf = (progress: unknown) =>
      (progress as { evaluations: { step: number }[] }).evaluations.map(({ step }) => step);
    assertEquals(seen.map(stepsOf), [[2, 4, 6, 8], [2, 4], [2, 4]]);
  }));

Deno.test("a loss that does not move off its start is warned of once, after a fifth of the steps", async () => {
  const prepare: typeof fakePrepare = async (request) => ({
    ...await fakePrepare(request),
    totalSteps: 60,
    checkpointSteps: [60],
  });
  await withWorld({ prepare }, async (world) => {
    world.fleet.lossOf = () => 2.25;
    const stuck = await world.finished((await submit(world)).id);
    const warned = world.messages(stuck.id).filter((message) =>
      message.includes("has not moved off its start")
    );
    assertEquals([stuck.status, warned.length], ["succeeded", 1]);
    assertEquals(warned[0]!.startsWith("After 12 steps, a fifth of all, the loss"), true, warned[0]);
    world.fleet.lossOf = (step) => 2 / step;
    const moving = await world.finished((await submit(world)).id);
    assertEquals(world.messages(moving.id).some((message) => message.includes("has not moved")), false);
  });
});
