/** Results of jobs as models of the `openai` package. */
import { assertEquals, assertRejects } from "@std/assert";
import OpenAI from "openai";
import type { World } from "../../coordinator/testing/app_fixture.ts";
import { withClient } from "./openai_client_fixture.ts";

async function trained(client: OpenAI, world: World, fields: Record<string, unknown> = {}) {
  const training_file = (await world.upload("a\nb")).id;
  const { id } = await client.fineTuning.jobs.create({ model: "org/tiny", training_file, ...fields });
  assertEquals((await world.finished(id)).error, null);
  return await client.fineTuning.jobs.retrieve(id);
}

Deno.test("a checkpoint is a model by its own name", () =>
  withClient({}, async (client, world) => {
    const job = await trained(client, world, { suffix: "my model: v1" });
    assertEquals(job.fine_tuned_model, `ft:org/tiny:my-model-v1:${job.id}`);
    const checkpoints = await Array.fromAsync(client.fineTuning.jobs.checkpoints.list(job.id));
    assertEquals(checkpoints.map(({ step_number }) => step_number), [4, 2]);
    for (const checkpoint of checkpoints) {
      const name = checkpoint.fine_tuned_model_checkpoint;
      assertEquals(name, `${job.fine_tuned_model}:ckpt-step-${checkpoint.step_number}`);
      const model = await client.models.retrieve(name);
      assertEquals([model.id, model.object, model.owned_by], [name, "model", "lorafleet"]);
      assertEquals(model.created, checkpoint.created_at);
      assertEquals(checkpoint.metrics, {
        step: checkpoint.step_number,
        train_loss: 2 / checkpoint.step_number,
        train_mean_token_accuracy: 1 - 1 / checkpoint.step_number,
      });
    }
    const none = [
      `${job.fine_tuned_model}:ckpt-step-3`,
      `${job.fine_tuned_model}x`,
      "ft:org/tiny::ftjob-none",
      "ft:x",
    ];
    for (const name of none) await assertRejects(() => client.models.retrieve(name), OpenAI.NotFoundError);
  }));

Deno.test("models.delete: the name is gone, and the adapter with its last name", () =>
  withClient({}, async (client, world) => {
    const job = await trained(client, world);
    const model = job.fine_tuned_model!;
    const [last, half] = [`${model}:ckpt-step-4`, `${model}:ckpt-step-2`];
    const names = async () => (await Array.fromAsync(client.models.list())).map(({ id }) => id);
    const adapters = async () =>
      (await Array.fromAsync(Deno.readDir(`${world.folder}/artifacts/${job.id}`))).map(({ name }) => name)
        .sort();
    assertEquals(await names(), ["org/tiny", model]);
    assertEquals(await client.models.delete(model), { object: "model", id: model, deleted: true });
    await assertRejects(() => client.models.retrieve(model), OpenAI.NotFoundError);
    await assertRejects(() => client.models.delete(model), OpenAI.NotFoundError);
    assertEquals([await names(), await adapters()], [["org/tiny"], ["2", "4"]]);
    assertEquals((await client.models.retrieve(last)).id, last);
    await client.models.delete(half);
    assertEquals(await adapters(), ["4"]);
    await client.models.delete(last);
    assertEquals(await adapters(), []);
    // The metrics stay; the adapter's files are no files any more.
    const after = await client.fineTuning.jobs.retrieve(job.id);
    assertEquals([after.status, after.fine_tuned_model], ["succeeded", model]);
    const [metrics, ...adapter] = after.result_files;
    assertEquals((await client.files.retrieve(metrics!)).filename, "step_metrics.csv");
    for (const id of adapter) await assertRejects(() => client.files.retrieve(id), OpenAI.NotFoundError);
    const events = await Array.fromAsync(client.fineTuning.jobs.listEvents(job.id));
    assertEquals(events[0]!.message, `The model ${last} was deleted.`);
  }));

Deno.test("a base model is not deleted, and neither is one that does not exist", () =>
  withClient({}, async (client) => {
    const base = await assertRejects(() => client.models.delete("org/tiny"), OpenAI.PermissionDeniedError);
    assertEquals(base.param, "model");
    for (const name of ["org/none", "ft:org/tiny::ftjob-none", "../secret"]) {
      await assertRejects(() => client.models.delete(name), OpenAI.NotFoundError);
    }
    assertEquals((await client.models.retrieve("org/tiny")).id, "org/tiny");
  }));

Deno.test("what OpenAI has and lorafleet has not is a 404 of OpenAI's shape that says so", () =>
  withClient({}, async (client) => {
    const calls: (() => PromiseLike<unknown>)[] = [
      // Its method wants an administrator's key, which never leaves the package.
      () => client.get("/fine_tuning/checkpoints/ft:x/permissions"),
      () =>
        client.fineTuning.alpha.graders.validate({
          grader: { type: "string_check", name: "a", input: "b", reference: "c", operation: "eq" },
        }),
      () => client.chat.completions.create({ model: "org/tiny", messages: [] }),
      () => client.batches.list(),
    ];
    for (const call of calls) {
      const error = await assertRejects(async () => await call(), OpenAI.NotFoundError, "lorafleet does not");
      assertEquals([error.code, error.type], ["unknown_url", "invalid_request_error"]);
    }
  }));
