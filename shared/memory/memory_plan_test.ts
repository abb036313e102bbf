import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { LoraFleetError } from "../errors.ts";
import { loraSchema } from "../job/job_spec_schema.ts";
import { llama2 as llama2Config } from "../model/config_fixture.ts";
import { parseTransformerSpec } from "../model/parse_transformer_spec.ts";
import { planLora } from "./lora_plan.ts";
import { chunkColumns, type PlanOptions } from "./buffer_sizes.ts";
import { formatBytes } from "./format_bytes.ts";
import { assertFits, formatPlan } from "./memory_fit.ts";
import { planMemory } from "./memory_plan.ts";

const llama2 = parseTransformerSpec(llama2Config);
const lora = planLora(llama2, loraSchema.parse({ r: 64, lora_alpha: 16 }));
const options: PlanOptions = {
  maxTokens: 2048,
  maxPositions: 2048,
  doubleQuantization: true,
  keptLayers: 1,
  maxTensorBytes: 2 ** 31 - 256,
  training: true,
};
const bytesOf = (name: string, changes: Partial<PlanOptions> = {}) =>
  planMemory(llama2, lora, { ...options, ...changes }).groups.find((group) => group.name === name)!.bytes;

Deno.test("Llama-2-7B under the tutorial's LoRA: the groups equal a count by hand", () => {
  const weights = 32 * (4 * 4096 * 4096 + 3 * 4096 * 11008);
  const blocks = weights / 64;
  const dynamicMap = 256 * 4;
  assertEquals(bytesOf("base model, NF4"), weights / 2 + blocks + blocks / 256 * 4 + dynamicMap);
  assertEquals(
    bytesOf("base model, NF4", { doubleQuantization: false }),
    weights / 2 + blocks * 4 + dynamicMap,
  );
  assertEquals(bytesOf("base model, f32"), (2 * 32000 * 4096 + 65 * 4096) * 4);
  const parameters = 32 * 2 * 2 * 64 * 4096;
  assertEquals(lora.layout.parameterCount, parameters);
  assertEquals(bytesOf("adapter and its gradient"), 3 * parameters * 4 + parameters / 64 * 4 + 2 * 128 * 4);
  const residuals = 33 * 2048 * 4096 * 4;
  const slab = bytesOf("activations") - residuals;
  assertEquals(bytesOf("activations", { keptLayers: 29 }), 29 * slab + residuals);
  assertEquals(bytesOf("activations", { training: false }), slab + 2 * 2048 * 4096 * 4);
});

Deno.test("the total is the sum, and the table shows all of it", () => {
  const plan = planMemory(llama2, lora, options);
  assertEquals(plan.totalBytes, plan.groups.reduce((sum, { bytes }) => sum + bytes, 0));
  const text = formatPlan(plan);
  for (const { name, bytes, detail } of plan.groups) {
    for (const part of [name, formatBytes(bytes), detail]) assertStringIncludes(text, part);
  }
  assertStringIncludes(text, formatBytes(plan.totalBytes));
  assertEquals([formatBytes(1), formatBytes(2 ** 30 - 1), formatBytes(2 ** 30)], [
    "0.00 MiB",
    "1024.00 MiB",
    "1.00 GiB",
  ]);
});

Deno.test("a plan that does not fit is refused with its numbers, one that just fits is not", () => {
  const plan = planMemory(llama2, lora, options);
  const fits = (budgetBytes: number | null, maxTensorBytes: number) =>
    assertFits(plan, budgetBytes, maxTensorBytes, "Some GPU");
  fits(null, plan.largest.bytes);
  fits(plan.totalBytes, plan.largest.bytes);
  const tooMuch = assertThrows(() => fits(plan.totalBytes - 1, 2 ** 31), LoraFleetError);
  assertEquals(tooMuch.code, "does_not_fit");
  for (
    const words of [formatBytes(plan.totalBytes), "Some GPU", "training.per_device_train", formatPlan(plan)]
  ) {
    assertStringIncludes(tooMuch.message, words);
  }
  const { name, bytes } = plan.largest;
  const tooLarge = assertThrows(() => fits(null, bytes / 2), LoraFleetError);
  assertEquals(tooLarge.code, "does_not_fit");
  assertStringIncludes(tooLarge.message, `"${name}" needs ${formatBytes(bytes)}`);
  const almost = assertThrows(() => fits(null, bytes - 1), LoraFleetError);
  assertStringIncludes(
    almost.message,
    `"${name}" needs ${bytes} bytes, and Some GPU binds at most ${bytes - 1}`,
  );
});

Deno.test("the vocabulary is cut so that a chunk's logits and a slab's rows stay within what can be bound", () => {
  const columns = (changes: Partial<PlanOptions>) => chunkColumns(llama2, { ...options, ...changes });
  assertEquals(columns({ maxTokens: 64 }), 32000);
  assertEquals(columns({ maxTokens: 4096 }), 2 ** 28 / 4096 / 4);
  const small = 2 ** 27;
  const narrow = columns({ maxTensorBytes: small });
  assert(narrow * 4096 * 4 <= small && (narrow + 1) * 4096 * 4 > small);
  assertEquals(columns({ logitsChunkBytes: 1 }), 1);
});

Deno.test("a plan that does not fit is refused with advice on its largest part", () => {
  const adviceOn = (changes: Partial<PlanOptions>, fields: object, budgetBytes: number) => {
    const plan = planMemory(llama2, planLora(llama2, loraSchema.parse(fields)), { ...options, ...changes });
    const { message } = assertThrows(() => assertFits(plan, budgetBytes, 2 ** 40, "GPU"), LoraFleetError);
    return message.split("\n")[0]!;
  };
  // 4.5 GiB of base model on 4 GiB.
  const base = adviceOn({}, {}, 4 * 2 ** 30);
  assertStringIncludes(base, "The base model alone takes 4.");
  assertStringIncludes(base, "choose a smaller base model");
  // 1.9 GiB more for 2048 tokens.
  const rest = adviceOn({}, {}, 5 * 2 ** 30);
  assertStringIncludes(rest, "which fits; the largest part that the job adds is activations");
  assertStringIncludes(rest, "micro-batches have up to 2048 tokens");
  assert(!rest.includes("gradient_checkpointing"), rest);
  const kept = adviceOn({ keptLayers: 32 }, {}, 8 * 2 ** 30);
  assertStringIncludes(kept, "The largest part is activations");
  assertStringIncludes(kept, "set training.gradient_checkpointing to true, or lower");
  const wide = adviceOn({ maxTokens: 64 }, { r: 2048, target_modules: "all-linear" }, 8 * 2 ** 30);
  assertStringIncludes(wide, "The largest part is adapter and its gradient");
  assertStringIncludes(
    wide,
    "lower lora.r (2048) or name fewer layers in lora.target_modules (224 of 224 carry",
  );
  const evaluated = adviceOn({ training: false, maxTokens: 65536 }, {}, 8 * 2 ** 30);
  assertStringIncludes(evaluated, "evaluate shorter rows");
});

Deno.test("a buffer that cannot be bound is refused with advice on that buffer", () => {
  const small = 2 ** 27;
  const wide = planMemory(
    llama2,
    planLora(llama2, loraSchema.parse({ r: 4096, target_modules: "all-linear" })),
    { ...options, maxTokens: 64, maxTensorBytes: small },
  );
  const { message } = assertThrows(() => assertFits(wide, null, small, "GPU"), LoraFleetError);
  const tensor = "base_model.model.model.layers.0.mlp.gate_proj.lora_B.weight";
  assertStringIncludes(message, `buffer "adapter ${tensor}" needs 172.00 MiB`);
  assertStringIncludes(message, "lower lora.r (4096)");
});

Deno.test("an adapter that no kernel can bind at once is planned in parts, to the byte", () => {
  const wide = planLora(llama2, loraSchema.parse({ r: 4096, target_modules: "all-linear" }));
  const { elementCount, tensors } = wide.layout;
  assert(4 * elementCount > 9 * 2 ** 30);
  const plan = planMemory(llama2, wide, { ...options, maxTokens: 64 });
  assertFits(plan, null, options.maxTensorBytes, "GPU");
  const group = plan.groups.find(({ name }) => name === "adapter and its gradient")!;
  assertEquals(group.bytes, 3 * 4 * elementCount + elementCount / 16 + 2 * 4 * tensors.length);
});

Deno.test("tables that are stored in 16 bits take half the memory, and the table of the plan says so", () => {
  const tables = { embeddings: "bf16", head: "bf16" } as const;
  const half = planMemory(llama2, lora, { ...options, tables });
  const whole = planMemory(llama2, lora, options);
  const of = (plan: typeof half, name: string) => plan.groups.find((group) => group.name === name);
  assertEquals(of(whole, "base model, bf16"), undefined);
  assertEquals(of(half, "base model, bf16")!.bytes, 2 * 2 * 32000 * 4096);
  assertEquals(of(half, "base model, bf16")!.detail, "embeddings 32000×4096, output layer");
  assertEquals(of(half, "base model, f32")!.bytes, 65 * 4096 * 4);
  assertEquals(of(half, "base model, f32")!.detail, "norms");
  assertEquals(whole.totalBytes - half.totalBytes, 2 * 2 * 32000 * 4096);
  const mixed = planMemory(llama2, lora, { ...options, tables: { embeddings: "f16", head: "f32" } });
  assertEquals(of(mixed, "base model, f16")!.detail, "embeddings 32000×4096");
  assertEquals(of(mixed, "base model, f32")!.detail, "output layer, norms");
  const tied = planMemory({ ...llama2, tieWordEmbeddings: true }, lora, { ...options, tables });
  assertEquals(of(tied, "base model, bf16")!.detail, "embeddings 32000×4096, tied");
  assertEquals(of(tied, "base model, bf16")!.bytes, 2 * 32000 * 4096);
});

Deno.test("every slab of a table in 16 bits is rounded to whole words", () => {
  const odd = { ...llama2, vocabSize: 31, hiddenSize: 33 };
  const tables = { embeddings: "bf16", head: "bf16" } as const;
  // Slabs of 5, 5, 5, 5, 5, 5 and 1 rows.
  const plan = planMemory(odd, lora, { ...options, tables, maxTokens: 1, logitsChunkBytes: 20 });
  const bytes = 6 * 332 + 68;
  assertEquals(plan.groups.find(({ name }) => name === "base model, bf16")!.bytes, 2 * bytes);
});
