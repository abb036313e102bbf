/**
 * A job that trains on from an earlier job's result: the coordinator, its broker and the OpenAI package are real, the workers have
 * no GPU. The base model is small enough that the toy engine's adapter is one of it.
 */
import { assert, assertEquals, assertLess, assertRejects } from "@std/assert";
import OpenAI from "openai";
import type { Agent } from "../../worker/fleet/agent.ts";
import { freePort, startCoordinatorChild, until, withFolder } from "./coordinator_child.ts";
import { toyFile, writeToyModel } from "./toy_model.ts";
import { startToyWorker } from "./toy_worker.ts";

const TRAINING = {
  max_steps: 12,
  gradient_accumulation_steps: 4,
  learning_rate: 1e-1,
  lr_scheduler_type: "constant",
  warmup_ratio: 0,
  save_strategy: "steps",
  save_steps: 6,
};

Deno.test("model: ft:… trains on from that adapter, with the same bits whichever worker does the work", () =>
  withFolder(async (folder) => {
    await writeToyModel(`${folder}/models/toy`);
    const port = String(freePort());
    const args = ["--port", port, "--model-roots", `${folder}/models`];
    await using children = new AsyncDisposableStack();
    let coordinator = children.use(startCoordinatorChild(`${folder}/data`, args));
    const joinUrl = await coordinator.joinUrl();
    let gradientMs = 0;
    const worker = (name: string) =>
      startToyWorker({ name, joinUrl, cacheFolder: `${folder}/cache`, gradientMs });
    const workers: Agent[] = ["w-a", "w-b"].map(worker);
    children.defer(async () => void await Promise.all(workers.map((agent) => agent.stop())));
    const client = new OpenAI({ apiKey: "none", baseURL: coordinator.api(), maxRetries: 3 });
    const file = await toyFile(0, 64);
    const { id: training_file } = await client.files.create({ file, purpose: "fine-tune" });

    const create = (model: string, fields: Record<string, unknown> = {}) => {
      const body = { model, training_file, training: TRAINING, dataset: { max_seq_length: 64 }, ...fields };
      return client.fineTuning.jobs.create(body);
    };
    const outcome = async (id: string) => {
      let job = await client.fineTuning.jobs.retrieve(id);
      await until("the end of the job", async () => {
        job = await client.fineTuning.jobs.retrieve(id).catch(() => job);
        return ["succeeded", "failed"].includes(job.status);
      }, () => coordinator.stderr().slice(-3000));
      assertEquals(job.error, null);
      const csv = await (await client.files.content(job.result_files[0]!)).text();
      const { sha256 } = await client.files.retrieve(job.result_files[2]!) as unknown as { sha256: string };
      return {
        job,
        sha256,
        losses: csv.trim().split("\n").slice(1).map((line) => Number(line.split(",")[1])),
      };
    };
    const lora = { r: 4, lora_alpha: 8, target_modules: ["q_proj"] };
    const first = await outcome((await create("toy", { lora })).id);
    const model = first.job.fine_tuned_model!;

    const created = await create(model, { suffix: "more" });
    assertEquals(created.model, model);
    const second = await outcome(created.id);
    assertEquals(second.job.fine_tuned_model, `ft:toy:more:${created.id}`);
    assertEquals(
      (second.job as unknown as { lora: object }).lora,
      (first.job as unknown as { lora: object }).lora,
    );
    // The same rows in the same order, met by an adapter that has learnt.
    assertLess(second.losses[0]!, first.losses[0]! - 0.003);
    assert(second.sha256 !== first.sha256);

    const checkpoint = `${model}:ckpt-step-6`;
    const fromCheckpoint = await outcome(
      (await create(checkpoint, { training: { ...TRAINING, max_steps: 6 } })).id,
    );
    assert(
      ![first.losses[0], second.losses[0]].includes(fromCheckpoint.losses[0]),
      "its state is that of step 6",
    );

    // The other worker alone, and a coordinator that restarts before the first step is done.
    await workers[0]!.stop();
    await workers[1]!.stop();
    gradientMs = 40;
    workers.push(worker("w-c"));
    const { id } = await create(model, { suffix: "again" });
    await until("the start", async () => (await client.fineTuning.jobs.retrieve(id)).status === "running");
    const used = await assertRejects(() => client.models.delete(model), OpenAI.ConflictError);
    assertEquals(used.param, "model");
    coordinator.kill("SIGKILL");
    await coordinator.ended;
    coordinator = children.use(startCoordinatorChild(`${folder}/data`, args));
    await coordinator.joinUrl();
    const again = await outcome(id);
    assertEquals([again.sha256, again.losses], [second.sha256, second.losses]);
    assertEquals((await client.models.delete(model)).deleted, true);

    for (
      const [fields, param] of [
        [{ lora: { r: 8 } }, "lora.r"],
        [{ lora: { lora_alpha: 9 } }, "lora.lora_alpha"],
        [{ lora: { target_modules: ["q_proj", "v_proj"] } }, "lora.target_modules"],
        [{ lora: { use_rslora: true } }, "lora.use_rslora"],
      ] as const
    ) {
      const other = second.job.fine_tuned_model!;
      const error = await assertRejects(() => create(other, fields), OpenAI.BadRequestError, "leave it out");
      assertEquals(error.param, param);
    }
    const gone = await assertRejects(() => create(model), OpenAI.NotFoundError);
    assertEquals([gone.code, gone.param], ["model_not_found", "model"]);
    const unknown = await assertRejects(
      () => create("toy", { initial_adapter: { model, sha256: first.sha256 } }),
      OpenAI.BadRequestError,
    );
    assertEquals(unknown.param, "initial_adapter");
  }));
