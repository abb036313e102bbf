import { assert, assertEquals, assertRejects } from "@std/assert";
import { brokenModel } from "../../tests/golden/broken_model.ts";
import { LADDER_CASES, loadLadderCase } from "../../tests/golden/golden.ts";
import { GOLDEN_MAX_TOKENS, loadGoldenModel } from "../../tests/golden/golden_model.ts";
import { LoraFleetError } from "../../shared/errors.ts";
import { testGpu } from "../device/testing/test_gpu.ts";
import type { ModelOptions } from "./language_model.ts";

const CHANGES: [what: string, changes: Partial<ModelOptions>][] = [
  ["training, activations computed again", { keptLayers: 1 }],
  ["training, activations kept", { keptLayers: "all" }],
  ["training, norms and gated unit made again", { keptLayers: 2, remakesActivations: true }],
  ["evaluation", { training: false }],
  ["the base model alone", { training: false, lora: null }],
  ["the opposite quantisation of absmax", {}],
  ["a vocabulary in chunks, odd numbers of tokens", {
    logitsChunkBytes: 2000,
    maxTokens: 29,
    maxPositions: 31,
  }],
];

for (const name of LADDER_CASES) {
  const golden = loadLadderCase(name);
  Deno.test(`${name}: the plan equals what the GPU allocates, to the byte`, async () => {
    const gpu = await testGpu();
    for (const [what, changes] of CHANGES) {
      const doubleQuantization = golden.doubleQuantization !== what.startsWith("the opposite");
      const before = gpu.allocatedBytes;
      const model = await loadGoldenModel(golden, { ...changes, doubleQuantization });
      assertEquals(gpu.allocatedBytes - before, model.plannedBytes, what);
    }
  });
}

Deno.test("the plan of an NF4 checkpoint counts the stored quantisation, under any options", async () => {
  const gpu = await testGpu();
  const golden = loadLadderCase("gqa_tied");
  const modelFolder = golden.modelFolder.replace(/model$/, "model_nf4");
  for (const doubleQuantization of [true, false]) {
    const before = gpu.allocatedBytes;
    const model = await loadGoldenModel(golden, { modelFolder, doubleQuantization });
    assertEquals(gpu.allocatedBytes - before, model.plannedBytes);
  }
});

Deno.test("a plan that does not fit is refused before anything is allocated", async () => {
  const gpu = await testGpu();
  const golden = loadLadderCase("gqa_tied");
  const { plannedBytes } = await loadGoldenModel(golden);
  const before = gpu.allocatedBytes;
  await loadGoldenModel(golden, { memoryBudgetBytes: plannedBytes });
  const after = gpu.allocatedBytes;
  assert(after > before);
  const error = await assertRejects(
    () => loadGoldenModel(golden, { memoryBudgetBytes: plannedBytes - 1 }),
    LoraFleetError,
    "memory plan:",
  );
  assertEquals([error.code, gpu.allocatedBytes], ["does_not_fit", after]);
});

Deno.test("as many layers keep their activations as the budget has room for", async () => {
  const golden = loadLadderCase("gqa_tied");
  const again = await loadGoldenModel(golden, { keptLayers: 1 });
  const kept = await loadGoldenModel(golden, { keptLayers: "all" });
  const lean = await loadGoldenModel(golden, { keptLayers: 2, remakesActivations: true });
  const fitting = async (memoryBudgetBytes: number | null) =>
    (await loadGoldenModel(golden, { keptLayers: "what fits", memoryBudgetBytes })).plannedBytes;
  assertEquals(await fitting(null), kept.plannedBytes);
  assertEquals(await fitting(kept.plannedBytes), kept.plannedBytes);
  assertEquals(await fitting(kept.plannedBytes - 1), lean.plannedBytes);
  assertEquals(await fitting(lean.plannedBytes - 1), again.plannedBytes);
});

Deno.test("a window that shortens the longest document adds two index arrays; a longer one nothing", async () => {
  await using model = await brokenModel("gqa_tied", {
    config: { model_type: "mistral", sliding_window: 16 },
  });
  const golden = loadLadderCase("gqa_tied");
  const bytesAt = async (maxPositions: number, modelFolder: string) =>
    (await loadGoldenModel(golden, { modelFolder, maxPositions })).plannedBytes;
  const extra = async (maxPositions: number) =>
    await bytesAt(maxPositions, model.folder) - await bytesAt(maxPositions, golden.modelFolder);
  assertEquals([await extra(16), await extra(17)], [0, 2 * 4 * GOLDEN_MAX_TOKENS]);
});
