import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { brokenModel } from "../../tests/golden/broken_model.ts";
import { flattenTensors, loadLadderCase, unflattenTensors } from "../../tests/golden/golden.ts";
import { GOLDEN_MAX_TOKENS, gradientOf, loadGoldenModel } from "../../tests/golden/golden_model.ts";
import { openCheckpoint } from "../../shared/checkpoint/checkpoint_reader.ts";
import { LoraFleetError } from "../../shared/errors.ts";
import { loraSchema } from "../../shared/job/job_spec_schema.ts";
import type { Gpu } from "../device/gpu.ts";
import { smallGpu } from "../device/testing/small_gpu.ts";
import { testGpu } from "../device/testing/test_gpu.ts";
import { LanguageModel, type ModelOptions } from "./language_model.ts";

const golden = loadLadderCase("gqa_tied");
const { batch } = golden.batches[0]!;
const lora = loraSchema.parse({ ...golden.lora, lora_dropout: 0.2 });
const LAYERS = 5;

/** The golden model with its two layers in turn, five in all. */
const deepModel = () =>
  brokenModel("gqa_tied", {
    config: { num_hidden_layers: LAYERS },
    tensors: (tensors) => [
      ...tensors,
      ...[2, 3, 4].flatMap((layer) =>
        tensors.filter(({ name }) => name.startsWith(`model.layers.${layer % 2}.`))
          .map((tensor) => ({
            ...tensor,
            name: tensor.name.replace(/layers\.\d/, `layers.${layer}`),
          }))
      ),
    ],
  });

async function load(gpu: Gpu, folder: string, changes: Partial<ModelOptions> = {}): Promise<LanguageModel> {
  const model = await LanguageModel.load(gpu, await openCheckpoint(folder), {
    ...{ lora, maxTokens: GOLDEN_MAX_TOKENS, maxPositions: GOLDEN_MAX_TOKENS, training: true },
    ...{ doubleQuantization: true, keptLayers: "what fits", memoryBudgetBytes: null, ...changes },
  });
  const { elementCount } = model.lora.layout;
  model.flat.write(Float32Array.from({ length: elementCount }, (_, i) => 0.02 * Math.sin(i)));
  return model;
}

/** The gradient, and every residual stream. */
async function passOf(model: LanguageModel) {
  const pass = await gradientOf(model, batch);
  const streams = Array.from({ length: LAYERS + 1 }, (_, index) => model.residual(index));
  return { ...pass, streams: (await model.gpu.readAll(streams)).map((bytes) => new Float32Array(bytes)) };
}

Deno.test("loss, gradient and residual streams have the same bits with any number of kept layers", async () => {
  await using folder = await deepModel();
  const gpu = await testGpu();
  const expected = await passOf(await load(gpu, folder.folder, { keptLayers: 1 }));
  assert(expected.gradient.some((value) => value !== 0));
  for (const keptLayers of [2, LAYERS - 1, LAYERS]) {
    const model = await load(gpu, folder.folder, { keptLayers });
    assertEquals(model.keptLayers, keptLayers);
    assertEquals(await passOf(model), expected, `${keptLayers} layers`);
  }
  for (const keptLayers of [1, 2, LAYERS - 1, LAYERS]) {
    const lean = await load(gpu, folder.folder, { keptLayers, remakesActivations: true });
    assertEquals(await passOf(lean), expected, `${keptLayers} layers, norms and gated unit made again`);
  }
  const model = await load(gpu, folder.folder);
  assertEquals(model.keptLayers, LAYERS);
  for (const left of [2, 1]) {
    assertEquals([model.keepFewerLayers(), model.keptLayers], [true, left]);
    assertEquals(await passOf(model), expected, `${left} layers left`);
  }
  assertEquals(model.keepFewerLayers(), false);
});

for (const name of ["gemma2_caps", "qwen3_tied", "phi3_longrope", "llama_biased"] as const) {
  Deno.test(`${name}: norms and gated unit that are made again change no bit`, async () => {
    const golden = loadLadderCase(name);
    const whole = await loadGoldenModel(golden, { keptLayers: "all" });
    const lean = await loadGoldenModel(golden, { keptLayers: 2, remakesActivations: true });
    assert(lean.plannedBytes < whole.plannedBytes);
    for (const { batch } of golden.batches) {
      assertEquals(await gradientOf(lean, batch), await gradientOf(whole, batch));
    }
  });
}

Deno.test("a GPU with less memory than planned keeps the layers that fit, says so, and computes the same bits", async () => {
  await using folder = await deepModel();
  const whole = await load(await testGpu(), folder.folder);
  const expected = await passOf(whole);
  const { gpu, memory } = await smallGpu(Infinity);
  const first = await load(gpu, folder.folder, { keptLayers: 1 });
  const layerBytes = (whole.plannedBytes - first.plannedBytes) / (LAYERS - 1);
  // Room for four layers less a byte, in which three fit; one of them is given back.
  memory.limitBytes = memory.usedBytes + first.plannedBytes + 3 * layerBytes - 1;
  const before = gpu.allocatedBytes;
  const fitted = await load(gpu, folder.folder);
  assertEquals(fitted.keptLayers, 2);
  assertStringIncludes(fitted.planText, "2 of 5 layers' are kept");
  assertStringIncludes(
    fitted.planText,
    "of the 5 layers' activations that are planned to be kept, the GPU has",
  );
  assertStringIncludes(fitted.planText, "memory for 3; 2 are kept");
  assertEquals(gpu.allocatedBytes - before, fitted.plannedBytes);
  assertEquals(await passOf(fitted), expected);

  const refused = await assertRejects(() => load(gpu, folder.folder, { keptLayers: "all" }), LoraFleetError);
  assertEquals(refused.code, "does_not_fit");
  gpu.close();
});

Deno.test("a job that keeps all activations is refused, with the field, where they do not fit", async () => {
  await using folder = await deepModel();
  const { gpu, memory } = await smallGpu(Infinity);
  const { plannedBytes } = await load(gpu, folder.folder, { keptLayers: "all" });
  memory.limitBytes = memory.usedBytes + plannedBytes - 1;
  const failing = await assertRejects(() => load(gpu, folder.folder, { keptLayers: "all" }), LoraFleetError);
  assertEquals([failing.code, failing.param], ["does_not_fit", "training.gradient_checkpointing"]);
  assertStringIncludes(failing.message, "memory for 4 of the 5 layers'");
  gpu.close();
  const planned = await assertRejects(
    async () =>
      load(await testGpu(), folder.folder, { keptLayers: "all", memoryBudgetBytes: plannedBytes - 1 }),
    LoraFleetError,
  );
  assertStringIncludes(planned.message, "set training.gradient_checkpointing to true");
});

Deno.test("layers below the lowest one with LoRA are not kept, and the gradient is that of a whole backward pass", async () => {
  await using folder = await deepModel();
  const gpu = await testGpu();
  const whole = loraSchema.parse({ ...golden.lora, lora_dropout: 0 });
  const upper = { ...whole, layers_to_transform: [3, 4] };
  const model = await load(gpu, folder.folder, { lora: upper });
  assertEquals(model.keptLayers, 2);
  const found = await gradientOf(model, batch);
  const { gradient } = await gradientOf(
    await load(gpu, folder.folder, { lora: upper, keptLayers: 1 }),
    batch,
  );
  assertEquals(gradient, found.gradient);

  // LoRA everywhere, with zeros in the layers below.
  const all = await load(gpu, folder.folder, { lora: whole });
  const adapter = new Map(
    unflattenTensors(model.lora.layout, await model.flat.readAdapter()),
  );
  for (const { name, shape } of all.lora.layout.tensors) {
    if (!adapter.has(name)) adapter.set(name, new Float32Array(shape[0] * shape[1]));
  }
  all.flat.write(flattenTensors(all.lora.layout, adapter));
  const expected = await gradientOf(all, batch);
  assertEquals(found.lossSum, expected.lossSum);
  const expectedTensors = unflattenTensors(all.lora.layout, expected.gradient);
  for (const [name, tensor] of unflattenTensors(model.lora.layout, found.gradient)) {
    assertEquals(tensor, expectedTensors.get(name), name);
  }
});
