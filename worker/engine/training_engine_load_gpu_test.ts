import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { brokenModel, changeTensor, type ModelChanges } from "../../tests/golden/broken_model.ts";
import { loadLadderCase } from "../../tests/golden/golden.ts";
import { goldenEngineSpec, loadGolden } from "../../tests/golden/golden_steps.ts";
import { LoraFleetError } from "../../shared/errors.ts";
import type { EngineSpec } from "./engine.ts";
import { TrainingEngine } from "./training_engine.ts";

const golden = loadLadderCase("gqa_tied");
const spec = goldenEngineSpec(golden);

const MODELS: [what: string, changes: ModelChanges, code: string, words: string[]][] = [
  [
    "a missing tensor",
    { tensors: changeTensor("model.layers.1.mlp.up_proj.weight", () => null) },
    "invalid_model",
    ['"model.layers.1.mlp.up_proj.weight" is missing', "model.safetensors"],
  ],
  [
    "a tensor of the wrong shape",
    { tensors: changeTensor("model.norm.weight", (tensor) => ({ ...tensor, shape: [48, 2] })) },
    "invalid_model",
    ['"model.norm.weight" is [48, 2], config.json says [96]'],
  ],
  [
    "a truncated file",
    { bytes: (bytes) => bytes.subarray(0, bytes.length - 100) },
    "invalid_model",
    ["model.safetensors", "truncated"],
  ],
  [
    "an architecture that is not supported",
    { config: { architectures: ["MambaForCausalLM"], model_type: "mamba" } },
    "invalid_model",
    ['model_type is "mamba"', '"llama"'],
  ],
  [
    "an activation that is not supported",
    { config: { hidden_act: "gelu" } },
    "invalid_model",
    ['hidden_act is "gelu"', '"silu"'],
  ],
];

for (const [what, changes, code, words] of MODELS) {
  Deno.test(`load refuses ${what}`, async () => {
    await using model = await brokenModel("gqa_tied", changes);
    await assertRefused({ ...spec, modelFolder: model.folder }, code, words);
  });
}

const SPECS: [what: string, changes: Partial<EngineSpec>, code: string, words: string[]][] = [
  ["a folder that is not there", { modelFolder: "/no/such/model" }, "model_not_found", ["/no/such/model"]],
  [
    "more memory than there is",
    { memoryBudgetBytes: 100_000 },
    "does_not_fit",
    ["needs 0.5", "has 0.10 MiB", "memory plan:", "base model, NF4"],
  ],
  [
    "a buffer that no kernel can bind",
    { maxTokensPerMicroBatch: 40_000_000 },
    "does_not_fit",
    ["needs 15.50 GiB", "binds at most"],
  ],
  [
    "LoRA on a layer that does not exist",
    { lora: { ...golden.lora, target_modules: ["q_proj", "wqkv"] } },
    "invalid_request",
    ['"wqkv"', '"q_proj", "k_proj"'],
  ],
  [
    "a pattern that matches nothing",
    { lora: { ...golden.lora, target_modules: "q_proj" } },
    "invalid_request",
    ['"q_proj"', "whole name"],
  ],
];

for (const [what, changes, code, words] of SPECS) {
  Deno.test(`load refuses ${what}`, () => assertRefused({ ...spec, ...changes }, code, words));
}

Deno.test("an engine that failed to load refuses calls, and can load a different model", async () => {
  const engine = new TrainingEngine();
  await assertRejects(() => engine.load({ ...spec, memoryBudgetBytes: 1 }), LoraFleetError);
  for (const call of [() => engine.commit(), () => engine.readSums(), () => engine.exportState()]) {
    const error = await assertRejects(call, LoraFleetError, "before it has loaded a model");
    assertEquals(error.code, "conflict");
  }
  const { plannedBytes, planText, layout } = await engine.load(spec);
  assert(plannedBytes > 4 * layout.elementCount);
  assertStringIncludes(planText, `${layout.parameterCount} LoRA parameters`);
  await engine.close();
  await assertRejects(() => engine.rollback(), LoraFleetError, "before it has loaded a model");
  await engine.close();
});

Deno.test("the second load reads the NF4 cache and has the same gradients; a damaged file is told and quantised again", async () => {
  const folder = await Deno.makeTempDir();
  const engine = new TrainingEngine();
  const gradientOf = async (loaded: TrainingEngine) => {
    await loaded.computeGradient(golden.batches[0]!.batch, 0);
    return await loaded.gradientDigest();
  };
  const load = async () => {
    const loaded = await engine.load({
      ...{ ...spec, nf4Cache: { folder, maxBytes: 2 ** 30 }, weightsHash: "0".repeat(64) },
    });
    return { ...loaded, gradient: await gradientOf(engine) };
  };
  try {
    await engine.load(spec);
    const plain = await gradientOf(engine);
    const [first, second] = [await load(), await load()];
    assertEquals([first.gradient, second.gradient], [plain, plain]);
    assertStringIncludes(first.planText, "quantised and kept in");
    assertStringIncludes(second.planText, "read from");
    const [{ name }] = [...Deno.readDirSync(folder)] as [Deno.DirEntry];
    await Deno.truncate(`${folder}/${name}/model.layers.1.mlp.up_proj.weight.nf4`, 1000);
    const third = await load();
    assertEquals([third.gradient, third.warnings?.length], [plain, 1]);
    assertStringIncludes(third.warnings![0]!, "model.layers.1.mlp.up_proj.weight.nf4 has 1000 bytes");
  } finally {
    await engine.close();
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("the initial adapter follows from the seed, and its B is zero", async () => {
  const engine = new TrainingEngine();
  const first = await engine.load(spec);
  const { adapter } = await engine.exportState();
  assertEquals((await engine.load(spec)).digest, first.digest);
  assert((await engine.load({ ...spec, seed: 2 })).digest !== first.digest);
  for (const { name, shape: [rows, columns], offset } of first.layout.tensors) {
    const values = adapter.subarray(offset, offset + rows * columns);
    if (name.endsWith("lora_B.weight")) assertEquals(values.findIndex((value) => value !== 0), -1);
    else {assert(
        values.every((value) => Math.abs(value) <= 1 / Math.sqrt(columns)) && new Set(values).size > 100,
      );}
  }
  await engine.close();
});

Deno.test("an adapter that cannot be written leaves nothing half-written", async () => {
  const engine = new TrainingEngine();
  await loadGolden(engine, golden);
  const folder = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(`${folder}/file`, "not a folder");
    // Not even root can create a folder inside a file, or replace a non-empty folder by a file.
    await Deno.mkdir(`${folder}/taken/adapter_model.safetensors/full`, { recursive: true });
    for (const target of [`${folder}/file/adapter`, `${folder}/taken`]) {
      const error = await assertRejects(() => engine.writeAdapter(target, "base"), LoraFleetError, target);
      assertEquals(error.code, "storage");
    }
    assertEquals([...Deno.readDirSync(folder)].map(({ name }) => name).sort(), ["file", "taken"]);
    assertEquals([...Deno.readDirSync(`${folder}/taken`)].map(({ name }) => name), [
      "adapter_model.safetensors",
    ]);
    await engine.writeAdapter(`${folder}/new/adapter`, "base");
  } finally {
    await Deno.remove(folder, { recursive: true });
    await engine.close();
  }
});

async function assertRefused(refused: EngineSpec, code: string, words: readonly string[]): Promise<void> {
  const engine = new TrainingEngine();
  const error = await assertRejects(() => engine.load(refused), LoraFleetError);
  assertEquals(error.code, code);
  for (const word of words) assertStringIncludes(error.message, word);
  await engine.close();
}
