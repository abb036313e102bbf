import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { loraSchema } from "../job/job_spec_schema.ts";
import { llama2 as llama2Config } from "../model/config_fixture.ts";
import { parseTransformerSpec } from "../model/parse_transformer_spec.ts";
import { keepWithin } from "./kept_layers.ts";
import { planLora } from "./lora_plan.ts";
import { formatPlan } from "./memory_fit.ts";
import { planMemory } from "./memory_plan.ts";
import { lowestTrainedLayer, trainedLayers } from "./trained_layers.ts";

const llama2 = parseTransformerSpec(llama2Config);
const loraOf = (fields: object = {}) =>
  planLora(llama2, loraSchema.parse({ r: 64, target_modules: "all-linear", lora_dropout: 0.1, ...fields }));
const lora = loraOf();
const options = {
  ...{ maxTokens: 2048, maxPositions: 2048, doubleQuantization: true, maxTensorBytes: 2 ** 31 - 256 },
  training: true,
};
const GIB = 2 ** 30;
const bytesWith = (keptLayers: number, remakesActivations = true) =>
  planMemory(llama2, lora, { ...options, keptLayers, remakesActivations }).totalBytes;
const within = (budgetBytes: number | null, plan = lora) => {
  const { keptLayers, remakesActivations } = keepWithin(llama2, plan, options, budgetBytes);
  return [keptLayers, remakesActivations];
};

Deno.test("a budget of just n layers' activations keeps n, a byte less one fewer", () => {
  for (const count of [5, 17, 32]) {
    assertEquals([within(bytesWith(count)), within(bytesWith(count) - 1)], [[count, true], [
      count - 1,
      true,
    ]]);
  }
  assertEquals([within(bytesWith(1)), within(0), within(null)], [[1, false], [1, false], [32, false]]);
});

Deno.test("what norms and the gated unit make again is kept only if all of it fits", () => {
  const all = bytesWith(32, false);
  assertEquals([within(all), within(all - 1)], [[32, false], [32, true]]);
  // Attention's and the MLP's input and the gated unit: 32 + 32 + 86 MiB a layer, for all but one of 32.
  assertEquals(all - bytesWith(32), 31 * 2048 * (2 * 4096 + 11008) * 4);
  assertEquals(bytesWith(1), bytesWith(1, false));
});

Deno.test("a 7B in 16 GiB keeps 25 of 32 layers, and the plan says what each takes", () => {
  assertEquals(within(16 * GIB), [25, true]);
  const text = formatPlan(
    planMemory(llama2, lora, { ...options, keptLayers: 25, remakesActivations: true }),
  );
  assertStringIncludes(
    text,
    "25 of 32 layers' are kept, 335.77 MiB each without norms and gated unit; each other is computed again, about 1.2 % of a step",
  );
  const all = formatPlan(planMemory(llama2, lora, { ...options, keptLayers: 32 }));
  assertStringIncludes(all, "all 32 layers' are kept, 485.77 MiB each");
});

Deno.test("layers below the lowest one with LoRA have nothing to keep", () => {
  const upper = loraOf({ layers_to_transform: [28, 30] });
  const found = [lowestTrainedLayer(llama2, upper), trainedLayers(llama2, upper), within(null, upper)];
  assertEquals(found, [28, 4, [4, false]]);
  assertEquals(lowestTrainedLayer(llama2, planLora(llama2, null)), 0);
  const { keptLayers } = planMemory(llama2, upper, { ...options, keptLayers: 4 });
  assert(keptLayers === 4);
});
