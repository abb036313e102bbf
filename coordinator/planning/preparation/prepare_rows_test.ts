import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { fromFileUrl } from "@std/path";
import { LoraFleetError } from "../../../shared/errors.ts";
import { parseJobRequest } from "../../job_request/parse.ts";
import { systemClock } from "../../../shared/clock.ts";
import { checkModelForJob } from "../../base_models/model_check.ts";
import type { PrepareRequest } from "./prepare_request.ts";
import { createHashCache } from "../../../shared/model/hash_cache.ts";
import { createModelRegistry } from "../../base_models/registry.ts";
import { openPreparer } from "../preparer.ts";
import { runHere } from "./preparation_fixture.ts";
import { sha256Of } from "../../storage/streamed_file.ts";

const DEMO_MODEL = fromFileUrl(new URL("../../../deploy/demo/assets/base", import.meta.url));
const DATASET = ["mint", "otter", "lamp"].map((word) =>
  JSON.stringify({ prompt: word, completion: ` ${word}` })
);

function specOf(fields: object = {}) {
  return parseJobRequest({ model: "base", training_file: "file-1", ...fields }).spec;
}

/** A copy of the demo's base model that the test may spoil. */
async function withModel(body: (folder: string) => Promise<void>): Promise<void> {
  const root = await Deno.makeTempDir();
  const folder = `${root}/base`;
  await Deno.mkdir(folder);
  for await (const { name } of Deno.readDir(DEMO_MODEL)) {
    await Deno.copyFile(`${DEMO_MODEL}/${name}`, `${folder}/${name}`);
  }
  try {
    await body(folder);
  } finally {
    await Deno.remove(root, { recursive: true });
  }
}

async function prepare(folder: string, fields: object = {}, lines = DATASET) {
  const root = folder.slice(0, folder.lastIndexOf("/"));
  const trainingFilePath = `${root}/train.jsonl`;
  await Deno.writeTextFile(trainingFilePath, lines.join("\n"));
  const hub = { endpoint: "http://127.0.0.1:9", token: null, cacheFolder: `${root}/hub`, offline: true };
  const registry = createModelRegistry({
    roots: [root],
    hub,
    hashes: createHashCache(`${root}/hashes.json`),
  });
  const events: string[] = [];
  const preparer = await openPreparer(`${root}/prepared`, systemClock, runHere);
  const request: PrepareRequest = {
    id: "ftjob-1",
    spec: specOf(fields),
    model: await registry.resolve("base"),
    trainingFile: {
      filename: "train.jsonl",
      size: 0,
      sha256: sha256Of(await Deno.readFile(trainingFilePath)),
    },
    trainingFilePath,
    signal: new AbortController().signal,
    event: (level, message) => void events.push(`${level} ${message}`),
  };
  const { totalSteps } = await preparer.prepare(request);
  const plan = await preparer.plan(request);
  assertEquals(plan.totalSteps, totalSteps);
  return { plan, events };
}

async function edit(path: string, change: (json: Record<string, unknown>) => void): Promise<void> {
  const json = JSON.parse(await Deno.readTextFile(path));
  change(json);
  await Deno.writeTextFile(path, JSON.stringify(json));
}

Deno.test("the demo's base model and a dataset become a plan, with a report of the data", () =>
  withModel(async (folder) => {
    const fields = {
      training: { num_train_epochs: 2, gradient_accumulation_steps: 1 },
      dataset: { packing: false, max_seq_length: 64 },
    };
    const { plan, events } = await prepare(folder, fields);
    using _files = plan.files;
    const saves = [1, 2, 3, 4, 5, 6].filter((step) => plan.checkpointSteps.includes(step));
    assertEquals([plan.id, plan.totalSteps, saves], ["ftjob-1", 6, [3, 6]]);
    assertEquals(plan.modelFolder, folder);
    assertEquals(plan.microBatchesOf(1).length, 1);
    assert(events[0]!.startsWith("info 3 examples in 3 rows of up to 64 tokens"), events[0]);
    assert(events[1]!.startsWith("warn The job makes only 6 updates"), events[1]);
  }));

Deno.test("a job that does not fit the model is refused with its field", () =>
  withModel(async (folder) => {
    const cases: [object, string, string][] = [
      [{ target_modules: ["q_proj", "qq_proj"] }, "lora.target_modules", "qq_proj"],
      [{ target_modules: ["embed_tokens"] }, "lora.target_modules", "embed_tokens"],
      [{ target_modules: "q_proj" }, "lora.target_modules", "whole name"],
    ];
    for (const [lora, param, message] of cases) {
      const error = await assertRejects(
        () => checkModelForJob(specOf({ lora }), folder),
        LoraFleetError,
        message,
      );
      assertEquals([error.code, error.param], ["invalid_request", param]);
    }
    await checkModelForJob(specOf({ lora: { r: 400, target_modules: "all-linear" } }), folder);
  }));

Deno.test("a broken model is refused with the name of its file", () =>
  withModel(async (folder) => {
    const refused = async (message: string) => {
      const error = await assertRejects(() => prepare(folder), LoraFleetError, message);
      assertEquals([error.code, error.param], ["invalid_model", "model"]);
    };
    const config = await Deno.readTextFile(`${folder}/config.json`);
    await edit(`${folder}/config.json`, (config) => config["vocab_size"] = 500);
    await refused('base model "base": tensor "model.embed_tokens.weight" is [899, 128]');
    await edit(`${folder}/config.json`, (config) => delete config["vocab_size"]);
    await refused("config.json failed: vocab_size");
    await Deno.writeTextFile(`${folder}/config.json`, config);
    await Deno.remove(`${folder}/tokenizer.json`);
    await refused("tokenizer.json");
    const weights = await Deno.readFile(`${folder}/model.safetensors`);
    await Deno.writeFile(`${folder}/model.safetensors`, weights.subarray(0, weights.length - 1));
    await refused("is truncated");
  }));

Deno.test("a token beyond the base model's vocabulary is refused in the row that uses it, and only there", () =>
  withModel(async (folder) => {
    const pad = { id: 899, content: "[PAD]", special: true };
    await edit(`${folder}/tokenizer.json`, (tokenizer) => {
      tokenizer["added_tokens"] = [...tokenizer["added_tokens"] as object[], pad];
    });
    await edit(`${folder}/tokenizer_config.json`, (config) => config["pad_token"] = "[PAD]");
    const { plan } = await prepare(folder);
    assertEquals(plan.totalSteps > 0, true);

    const using = [...DATASET, JSON.stringify({ prompt: "a", completion: "b[PAD]" })];
    const fields = { dataset: { split_special_tokens: false } };
    const error = await assertRejects(() => prepare(folder, fields, using), LoraFleetError);
    assertEquals([error.code, error.param], ["invalid_dataset", "line 4"]);
    assertStringIncludes(
      error.message,
      'the token "[PAD]" has the id 899, but the base model\'s vocab_size is 899',
    );
    await prepare(folder, {}, using);

    // The stop token is appended to every row.
    await edit(`${folder}/tokenizer_config.json`, (config) => config["eos_token"] = "[PAD]");
    await assertRejects(() => prepare(folder), LoraFleetError, "line 1 cannot be used: the token");
  }));

Deno.test("documents beyond the positions of dynamic RoPE are refused, shorter ones are not", () =>
  withModel(async (folder) => {
    const positions = (max_position_embeddings: number) =>
      edit(`${folder}/config.json`, (config) => {
        config["rope_parameters"] = { rope_type: "dynamic", rope_theta: 10000, factor: 2 };
        config["max_position_embeddings"] = max_position_embeddings;
      });
    const lines = [JSON.stringify({ prompt: "mint otter lamp", completion: " mint" })];
    await positions(64);
    await prepare(folder, {}, lines);
    await positions(4);
    const error = await assertRejects(() => prepare(folder, {}, lines), LoraFleetError, "at most 4");
    assertEquals([error.code, error.param], ["invalid_request", "dataset.max_seq_length"]);
  }));

Deno.test("documents beyond a sliding window are prepared", () =>
  withModel(async (folder) => {
    await edit(`${folder}/config.json`, (config) => {
      config["architectures"] = ["MistralForCausalLM"];
      config["model_type"] = "mistral";
      config["sliding_window"] = 2;
    });
    await prepare(folder, {}, [JSON.stringify({ prompt: "mint otter lamp", completion: " mint" })]);
  }));

Deno.test("a job whose only step has a learning rate of 0 is refused with what to change", () =>
  withModel(async (folder) => {
    const error = await assertRejects(
      () => prepare(folder, { training: { num_train_epochs: 1 } }),
      LoraFleetError,
      "all with a learning rate of 0",
    );
    assertEquals([error.code, error.param], ["invalid_request", "training.warmup_ratio"]);
    await prepare(folder, { training: { num_train_epochs: 1, warmup_ratio: 0 } });
  }));

Deno.test("an invalid line of the dataset is named", () =>
  withModel(async (folder) => {
    const error = await assertRejects(() => prepare(folder, {}, [...DATASET, "{"]), LoraFleetError, "4");
    assertEquals(error.code, "invalid_dataset");
  }));
