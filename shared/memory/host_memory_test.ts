import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { loraSchema } from "../job/job_spec_schema.ts";
import { parseTransformerSpec } from "../model/parse_transformer_spec.ts";
import { formatHostMemory, planHostMemory } from "./host_memory.ts";
import { planLora } from "./lora_plan.ts";
import { planMemory } from "./memory_plan.ts";

const smollm2 = parseTransformerSpec({
  architectures: ["LlamaForCausalLM"],
  hidden_size: 576,
  intermediate_size: 1536,
  num_attention_heads: 9,
  num_key_value_heads: 3,
  num_hidden_layers: 30,
  vocab_size: 49152,
  tie_word_embeddings: true,
});
const MIB = 2 ** 20;
const loraOf = (r: number) => planLora(smollm2, loraSchema.parse({ r, target_modules: "all-linear" }));

/** Peaks (VmHWM) of SmolLM2-135M on two processors and Mesa's CPU driver, as docs/benchmarks/performance.md has them. */
const MEASURED: readonly (readonly [tokens: number, r: number, mebibytes: number])[] = [
  [256, 16, 1009],
  [64, 128, 2257],
];

for (const [maxTokens, r, mebibytes] of MEASURED) {
  Deno.test(`main memory is within a fifth of what was measured: ${maxTokens} tokens, r ${r}`, () => {
    const lora = loraOf(r);
    const { totalBytes: gpuBytes } = planMemory(smollm2, lora, {
      ...{ maxTokens, maxPositions: maxTokens, doubleQuantization: true, training: true },
      ...{ keptLayers: 30, maxTensorBytes: 2 ** 31 - 256, tables: { embeddings: "bf16", head: "bf16" } },
    });
    const planned = (gpuBytes + planHostMemory(smollm2, lora, 2).totalBytes) / MIB;
    assert(Math.abs(planned / mebibytes - 1) < 0.2, `${planned} MiB planned, ${mebibytes} measured`);
  });
}

Deno.test("main memory grows with the adapter, and is at least what loading takes", () => {
  const totalOf = (r: number, processors: number) =>
    planHostMemory(smollm2, loraOf(r), processors).totalBytes;
  const elements = (r: number) => loraOf(r).layout.elementCount;
  assertEquals(totalOf(256, 2) - totalOf(128, 2), 36 * (elements(256) - elements(128)));
  assertEquals(totalOf(1, 8) - totalOf(2, 8), 0);
  assert(totalOf(1, 8) > totalOf(1, 2));
});

Deno.test("local steps take 28 bytes more for each element of the adapter", () => {
  const lora = loraOf(256);
  const [without, withThem] = [planHostMemory(smollm2, lora, 2), planHostMemory(smollm2, lora, 2, true)];
  assertEquals(withThem.totalBytes - without.totalBytes, 28 * lora.layout.elementCount);
  assertEquals(withThem.parts.length, without.parts.length + 1);
});

Deno.test("the text has every part, and the GPU's buffers where they lie in main memory", () => {
  const host = planHostMemory(smollm2, loraOf(16), 2);
  const apart = formatHostMemory(host, null);
  for (const { name, detail } of host.parts) {
    assertStringIncludes(apart, name);
    assertStringIncludes(apart, detail);
  }
  assert(!apart.includes("GPU buffers"));
  const together = formatHostMemory({ parts: [], totalBytes: 100 * MIB }, 28 * MIB);
  assertStringIncludes(
    together,
    "GPU buffers                 28.00 MiB  this driver keeps them in main memory",
  );
  assertStringIncludes(together, "at most                    128.00 MiB");
});
