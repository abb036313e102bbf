/**
 * A job that trains on from an earlier job's result: the coordinator, its broker and the OpenAI package are real, the workers have
 * no GPU. The base model is small enough that the toy engine's adapter is one of it.
 */
import { assert, assertEquals, assertLess, assertRejects } from "@std/assert";
import { join } from "@std/path";
import OpenAI from "openai";
import { toFile } from "openai";
import type { Agent } from "../../worker/fleet/agent.ts";
import { writeSafetensors } from "../../shared/checkpoint/safetensors_write.ts";
import { freePort, startCoordinatorChild, until, withFolder } from "./coordinator_child.ts";
import { startToyWorker } from "./toy_worker.ts";

const assets = new URL("../../deploy/demo/assets", import.meta.url).pathname;
const TRAINING = {
  max_steps: 12,
  gradient_accumulation_steps: 4,
  learning_rate: 1e-1,
  lr_scheduler_type: "constant",
  warmup_ratio: 0,
  save_strategy: "steps",
  save_steps: 6,
};

/** A Llama whose q_proj is 16×16: LoRA of rank 4 has 64 elements a factor, as the toy engine's. */
async function writeToyModel(folder: string): Promise<void> {
  await Deno.mkdir(folder, { recursive: true });
  const config = JSON.parse(await Deno.readTextFile(`${assets}/base/config.json`));
  const [hidden, vocab] = [16, config.vocab_size];
  const sizes = { hidden_size: hidden, intermediate_size: hidden, head_dim: hidden, num_hidden_layers: 1 };
  const heads = { num_attention_heads: 1, num_key_value_heads: 1 };
  await Deno.writeTextFile(`${folder}/config.json`, JSON.stringify({ ...config, ...sizes, ...heads }));
  for (const name of ["tokenizer.json", "tokenizer_config.json"]) {
    await Deno.copyFile(`${assets}/base/${name}`, `${folder}/${name}`);
  }
  const layer = "model.layers.0.";
  const shapes: Record<string, number[]> = {
    "model.embed_tokens.weight": [vocab, hidden],
    "model.norm.weight": [hidden],
    [`${layer}input_layernorm.weight`]: [hidden],
    [`${layer}post_attention_layernorm.weight`]: [hidden],
  };
  for (const name of ["q", "k", "v", "o"]) shapes[`${layer}self_attn.${name}_proj.weight`] = [hidden, hidden];
  for (const name of ["gate", "up", "down"]) shapes[`${layer}mlp.${name}_proj.weight`] = [hidden, hidden];
  await writeSafetensors(
    `${folder}/model.safetensors`,
    Object.entries(shapes).map(([name, shape]) => ({
      ...{ name, shape, dtype: "F32" as const },
      data: new Float32Array(shape.reduce((a, b) => a * b)).map((_, index) => Math.sin(index)),
    })),
  );
}

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
    const rows = (await Deno.readTextFile(join(assets, "train.jsonl"))).split("\n").slice(0, 64).join("\n");
    const { id: training_file } = await client.files.create({
      file: await toFile(new TextEncoder().encode(rows), "train.jsonl"),
      purpose: "fine-tune",
    });

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
