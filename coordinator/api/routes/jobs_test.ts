import { assertEquals, assertStringIncludes } from "@std/assert";
import { errorOf, withWorld } from "../../testing/app_fixture.ts";
import type { World } from "../../testing/app_fixture.ts";

function post(world: World, body: unknown, contentType = "application/json"): Promise<Response> {
  return Promise.resolve(world.app.request("/v1/fine_tuning/jobs", {
    method: "POST",
    body: typeof body === "string" ? body : JSON.stringify(body),
    headers: { "content-type": contentType },
  }));
}

Deno.test("a job is shown as OpenAI's object with our groups", () =>
  withWorld({}, async (world) => {
    const file = await world.upload("a");
    const response = await post(world, {
      model: "org/tiny",
      training_file: file.id,
      seed: 7,
      suffix: "mine",
      metadata: { team: "one" },
      hyperparameters: { n_epochs: 2, batch_size: 4, learning_rate_multiplier: 0.5 },
      lora: { r: 4 },
    });
    assertEquals(response.status, 200);
    const created = await response.json();
    assertEquals(created.status, "validating_files");
    await world.finished(created.id);
    const job = await (await world.app.request(`/v1/fine_tuning/jobs/${created.id}`)).json();
    const { created_at, finished_at, result_files, lora, quantization, training, dataset, ...rest } = job;
    const hyperparameters = { n_epochs: 2, batch_size: 4, learning_rate_multiplier: 0.5 };
    assertEquals(rest, {
      object: "fine_tuning.job",
      id: created.id,
      estimated_finish: null,
      model: "org/tiny",
      fine_tuned_model: `ft:org/tiny:mine:${created.id}`,
      organization_id: "lorafleet",
      status: "succeeded",
      error: null,
      hyperparameters,
      method: { type: "supervised", supervised: { hyperparameters } },
      trained_tokens: 200,
      training_file: file.id,
      validation_file: null,
      integrations: null,
      report_to: [],
      seed: 7,
      metadata: { team: "one" },
      fleet: { gradient_codec: "exact", local_steps: null, audit_rate: 0, audit_unresolved: "fail" },
      quarantined: [],
      audits: { passed: 2, failed: 0, skipped: 0 },
      step: 2,
      total_steps: 2,
    });
    assertEquals([Number.isInteger(created_at), finished_at >= created_at], [true, true]);
    assertEquals([result_files.length, lora.r, training.num_train_epochs], [3, 4, 2]);
    assertEquals([quantization.bnb_4bit_quant_type, dataset.packing], ["nf4", true]);
  }));

Deno.test("a running job has an estimated finish", () =>
  withWorld({}, async (world) => {
    const hold = Promise.withResolvers<void>();
    world.fleet.beforeStep = (_job, step) => step === 2 ? hold.promise : Promise.resolve();
    const created =
      await (await post(world, { model: "org/tiny", training_file: (await world.upload("a")).id }))
        .json();
    await world.until(created.id, (job) => job.step === 1);
    const job = await (await world.app.request(`/v1/fine_tuning/jobs/${created.id}`)).json();
    assertEquals([job.status, job.trained_tokens, job.finished_at], ["running", 100, null]);
    assertEquals(job.estimated_finish >= job.created_at, true);
    hold.resolve();
    await world.finished(created.id);
  }));

Deno.test("jobs come in pages, newest first", () =>
  withWorld({}, async (world) => {
    const ids: string[] = [];
    for (let index = 0; index < 3; index++) {
      const job =
        await (await post(world, { model: "org/tiny", training_file: (await world.upload("a")).id }))
          .json();
      ids.push(job.id);
    }
    const first = await (await world.app.request("/v1/fine_tuning/jobs?limit=2")).json();
    assertEquals([first.data.map((job: { id: string }) => job.id), first.has_more], [[ids[2], ids[1]], true]);
    const second = await (await world.app.request(`/v1/fine_tuning/jobs?after=${ids[1]}`)).json();
    assertEquals([second.data.map((job: { id: string }) => job.id), second.has_more], [[ids[0]], false]);
    for (const id of ids) await world.finished(id);
  }));

Deno.test("an invalid request is refused at once with its field", () =>
  withWorld({}, async (world) => {
    const training_file = (await world.upload("a")).id;
    const model = "org/tiny";
    const cases: [unknown, [number, string, string | null]][] = [
      [{ model }, [400, "invalid_request", "training_file"]],
      [{ training_file }, [400, "invalid_request", "model"]],
      [{ model, training_file: "file-none" }, [400, "invalid_request", "training_file"]],
      [{ model: "org/none", training_file }, [404, "model_not_found", "model"]],
      [{ model: "../../etc", training_file }, [404, "model_not_found", "model"]],
      [{ model, training_file, lora: { r: 0 } }, [400, "invalid_request", "lora.r"]],
      [{ model, training_file, training: { learning_rate: -1 } }, [
        400,
        "invalid_request",
        "training.learning_rate",
      ]],
      [{ model, training_file, lorra: {} }, [400, "invalid_request", "lorra"]],
      [[], [400, "invalid_request", null]],
      ["{", [400, "invalid_request", null]],
      ["", [400, "invalid_request", null]],
      [`"${"x".repeat(2 ** 20)}"`, [413, "body_too_large", null]],
    ];
    for (const [body, expected] of cases) assertEquals(await errorOf(await post(world, body)), expected);
    assertEquals(await errorOf(await post(world, "{}", "text/plain")), [415, "unsupported_media_type", null]);
    assertEquals((await (await world.app.request("/v1/fine_tuning/jobs")).json()).data, []);
  }));

Deno.test("a bad dataset fails the job during preparation, with the line", () =>
  withWorld({}, async (world) => {
    const training_file = (await world.upload("a\n\nb")).id;
    const { id } = await (await post(world, { model: "org/tiny", training_file })).json();
    await world.finished(id);
    const job = await (await world.app.request(`/v1/fine_tuning/jobs/${id}`)).json();
    assertEquals([job.status, job.error.code, job.error.param], [
      "failed",
      "invalid_dataset",
      "training_file",
    ]);
    assertStringIncludes(job.error.message, "line 2");
  }));

Deno.test("a job can be cancelled only once", () =>
  withWorld({}, async (world) => {
    world.fleet.beforeStep = (_job, _step, signal) =>
      new Promise((_, reject) => {
        signal.addEventListener("abort", () => reject(signal.reason));
        // The job may be cancelled between its start and its first step.
        if (signal.aborted) reject(signal.reason);
      });
    const { id } =
      await (await post(world, { model: "org/tiny", training_file: (await world.upload("a")).id }))
        .json();
    await world.until(id, (job) => job.status === "running");
    const cancel = () => world.app.request(`/v1/fine_tuning/jobs/${id}/cancel`, { method: "POST" });
    const cancelled = await cancel();
    assertEquals([cancelled.status, (await cancelled.json()).status], [200, "cancelled"]);
    assertEquals(await errorOf(await cancel()), [409, "conflict", "status"]);
    const none = await world.app.request("/v1/fine_tuning/jobs/ftjob-none/cancel", { method: "POST" });
    assertEquals(await errorOf(none), [404, "not_found", "fine_tuning_job_id"]);
    assertEquals(await errorOf(await world.app.request("/v1/fine_tuning/jobs/ftjob-none")), [
      404,
      "not_found",
      "fine_tuning_job_id",
    ]);
  }));

Deno.test("a job lists its excluded micro-batches with lines, reason and workers", () =>
  withWorld({}, async (world) => {
    world.fleet.excluded.set(2, { index: 0, workers: ["w-a", "w-b"] });
    const body = { model: "org/tiny", training_file: (await world.upload("a")).id };
    const { id } = await (await post(world, body)).json();
    await world.finished(id);
    const { quarantined } = await (await world.app.request(`/v1/fine_tuning/jobs/${id}`)).json();
    const reason = "its loss or gradient is not finite";
    assertEquals(quarantined, [
      { step: 2, micro_batch: 0, examples: [1], reason, workers: ["w-a", "w-b"] },
    ]);
  }));
