import { assert, assertEquals, assertRejects } from "@std/assert";
import OpenAI from "openai";
import { API_KEY, withClient } from "./openai_client_fixture.ts";
import { trainWithOpenAi } from "./openai_client_steps.ts";

const ROWS = '{"text":"row 1"}\n{"text":"row 2"}';

Deno.test("the openai package trains an adapter: upload, create, events, succeeded, download", () =>
  withClient({}, async (client) => {
    const result = await trainWithOpenAi(client, {
      model: "org/tiny",
      dataset: ROWS,
      fields: { suffix: "mine", lora: { r: 4 }, hyperparameters: { n_epochs: 1 } },
      timeoutMs: 10_000,
    });
    const { job, events, checkpoints, files } = result;
    assertEquals(job.fine_tuned_model, `ft:org/tiny:mine:${job.id}`);
    assertEquals([job.trained_tokens, job.hyperparameters.n_epochs], [400, 1]);
    const metrics = events.filter((event) => event.type === "metrics");
    assertEquals(
      metrics.map((event) => event.message),
      [1, 2, 3, 4].map((step) => `Step ${step}/4: training loss=${(2 / step).toFixed(4)}`),
    );
    assertEquals(checkpoints.map((checkpoint) => checkpoint.step_number), [4, 2]);
    assertEquals([...files.keys()], ["step_metrics.csv", "adapter_config.json", "adapter_model.safetensors"]);
    // Both files of the last step, byte for byte as the worker stored them, and the dataset as it was uploaded.
    const texts = [...files.values()].map((bytes) => new TextDecoder().decode(bytes));
    const lines = ["step,train_loss,train_accuracy,valid_loss,valid_mean_token_accuracy"];
    for (let step = 1; step <= 4; step++) lines.push(`${step},${2 / step},${1 - 1 / step},,`);
    assertEquals(texts, [`${lines.join("\n")}\n`, '{"step":4}', "weights".repeat(4)]);
    assertEquals(await (await client.files.content(job.training_file)).text(), ROWS);

    const listed = await Array.fromAsync(client.fineTuning.jobs.list());
    assertEquals(listed.map(({ id }) => id), [job.id]);
    const names = (await Array.fromAsync(client.models.list())).map(({ id }) => id);
    assertEquals(names, ["org/tiny", job.fine_tuned_model!]);
    assertEquals((await client.models.retrieve("org/tiny")).object, "model");
    const kept = await Array.fromAsync(client.files.list({ purpose: "fine-tune", limit: 1 }));
    assertEquals(kept.map(({ id }) => id), [job.training_file]);
    assertEquals((await client.files.delete(job.training_file)).deleted, true);
  }));

Deno.test("the openai package cancels a job", () =>
  withClient({}, async (client, world) => {
    world.fleet.beforeStep = (_job, _step, signal) =>
      new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
    const training_file = (await world.upload("a")).id;
    const { id } = await client.fineTuning.jobs.create({ model: "org/tiny", training_file });
    await world.until(id, (job) => job.status === "running");
    assertEquals((await client.fineTuning.jobs.cancel(id)).status, "cancelled");
    const error = await assertRejects(
      () => client.fineTuning.jobs.cancel(id, { maxRetries: 5 }),
      OpenAI.ConflictError,
    );
    assertEquals(error.code, "conflict");
  }));

Deno.test("the openai package pauses a job, resumes it, and it succeeds", () =>
  withClient({}, async (client, world) => {
    world.fleet.beforeStep = (_job, _step, signal) =>
      new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
    const training_file = (await world.upload("a")).id;
    const { id } = await client.fineTuning.jobs.create({ model: "org/tiny", training_file });
    await world.until(id, (job) => job.status === "running");
    // The package's type does not know the status that OpenAI's own API answers with.
    assertEquals(String((await client.fineTuning.jobs.pause(id)).status), "paused");
    assertEquals(String((await client.fineTuning.jobs.retrieve(id)).status), "paused");
    const twice = await assertRejects(
      () => client.fineTuning.jobs.pause(id, { maxRetries: 5 }),
      OpenAI.ConflictError,
    );
    assertEquals([twice.code, twice.param], ["conflict", "status"]);
    world.fleet.beforeStep = () => Promise.resolve();
    assertEquals((await client.fineTuning.jobs.resume(id)).status, "queued");
    assertEquals((await world.finished(id)).status, "succeeded");
    await assertRejects(() => client.fineTuning.jobs.resume(id), OpenAI.ConflictError);
    const events = await Array.fromAsync(client.fineTuning.jobs.listEvents(id));
    const messages = events.map(({ message }) => message);
    assert(messages.includes("The job was paused while it was running."), messages.join("\n"));
    assert(messages.includes("The job was resumed; it is queued again."), messages.join("\n"));
  }));

Deno.test("the openai package understands our errors", () =>
  withClient({ maxUploadBytes: 1000 }, async (client, world) => {
    const training_file = (await world.upload("a")).id;
    const model = await assertRejects(
      () => client.fineTuning.jobs.create({ model: "org/none", training_file }),
      OpenAI.NotFoundError,
    );
    assertEquals([model.code, model.param, model.type], [
      "model_not_found",
      "model",
      "invalid_request_error",
    ]);
    const field = await assertRejects(
      () => client.fineTuning.jobs.create({ model: "org/tiny", training_file, seed: -1 }),
      OpenAI.BadRequestError,
    );
    assertEquals([field.code, field.param], ["invalid_request", "seed"]);
    await assertRejects(() => client.fineTuning.jobs.retrieve("ftjob-none"), OpenAI.NotFoundError);
    const stranger = client.withOptions({ apiKey: "wrong" });
    await assertRejects(async () => await stranger.models.list(), OpenAI.AuthenticationError);
    const file = new File(["x".repeat(200_000)], "large.jsonl");
    const large = await assertRejects(
      () => client.files.create({ file, purpose: "fine-tune" }),
      OpenAI.APIError,
    );
    assertEquals(large.status, 413);
  }));

Deno.test("events are streamed over a socket until the job has finished, and HEAD and ranges work there", () =>
  withClient({}, async (client, world) => {
    const training_file = (await world.upload("a")).id;
    const { id } = await client.fineTuning.jobs.create({ model: "org/tiny", training_file });
    const headers = { authorization: `Bearer ${API_KEY}` };
    const stream = await fetch(`${client.baseURL}/fine_tuning/jobs/${id}/events?stream=true`, { headers });
    const text = await stream.text();
    assert(text.endsWith('event: done\ndata: {"status":"succeeded"}\n\n'), text);
    assertEquals(text.match(/^id: /gm)?.length, world.messages(id).length);
    const url = `${client.baseURL}/files/${training_file}/content`;
    const head = await fetch(url, { method: "HEAD", headers });
    assertEquals([head.status, head.headers.get("content-length"), await head.text()], [200, "1", ""]);
    const artifact = `${client.baseURL}/fine_tuning/jobs/${id}/artifacts/adapter_config.json`;
    const part = await fetch(artifact, { headers: { ...headers, range: "bytes=2-5" } });
    assertEquals([part.status, part.headers.get("content-length"), await part.text()], [206, "4", "step"]);
  }));
