import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { planLora } from "../../shared/memory/lora_plan.ts";
import { planMemory } from "../../shared/memory/memory_plan.ts";
import { parseTransformerSpec } from "../../shared/model/parse_transformer_spec.ts";
import { parseJobRequest } from "../job_request/parse.ts";
import { CARD_TENSOR_BYTES } from "./cards.ts";
import { estimateMemory } from "./memory_estimate.ts";

const llama2 = parseTransformerSpec({
  architectures: ["LlamaForCausalLM"],
  hidden_size: 4096,
  intermediate_size: 11008,
  num_attention_heads: 32,
  num_hidden_layers: 32,
  vocab_size: 32000,
});
const jobOf = (fields: object = {}) => ({
  spec: parseJobRequest({ model: "m", training_file: "f", lora: { r: 64 }, ...fields }).spec,
  maxTokensPerMicroBatch: 2048,
  maxPositions: 2048,
});
const GIB = 2 ** 30;

Deno.test("the tutorial's 7B fits 24 GiB, and the parts add up to the worker's own plan", () => {
  const job = jobOf();
  const estimate = estimateMemory("RTX 3090", llama2, job, 23 * GIB);
  const plan = planMemory(llama2, planLora(llama2, job.spec.lora), {
    ...{ maxTokens: 2048, maxPositions: 2048, doubleQuantization: true, training: true },
    ...{ keptLayers: 1, maxTensorBytes: CARD_TENSOR_BYTES },
  });
  assertEquals([estimate.fits, estimate.gradient_checkpointing, estimate.advice], [true, false, null]);
  assertEquals(estimate.needed_bytes, plan.totalBytes);
  assertEquals(estimate.parts.reduce((sum, { bytes }) => sum + bytes, 0), estimate.needed_bytes);
});

Deno.test("as many layers keep their activations as the card has memory for, and all if the job says so", () => {
  const on = (gib: number | null, fields: object = {}) =>
    estimateMemory("card", llama2, jobOf(fields), gib === null ? null : gib * GIB);
  const { kept_layers, trained_layers, planned_bytes, needed_bytes, gradient_checkpointing } = on(16);
  assertEquals([trained_layers, gradient_checkpointing], [32, true]);
  assert(kept_layers! > 1 && kept_layers! < 32);
  const eachBytes = (planned_bytes! - needed_bytes) / (kept_layers! - 1);
  assert(planned_bytes! <= 16 * GIB && planned_bytes! + eachBytes > 16 * GIB);
  assertEquals([on(null).kept_layers, on(null).planned_bytes], [null, null]);
  const all = on(16, { training: { gradient_checkpointing: false } });
  assertEquals([all.fits, all.kept_layers, all.gradient_checkpointing], [false, 32, false]);
  assertEquals(all.needed_bytes, all.planned_bytes);
  assertStringIncludes(all.advice!, "set training.gradient_checkpointing to true");
});

Deno.test("what does not fit comes with advice on a part that the job can change", () => {
  const { fits, advice, needed_bytes, available_bytes } = estimateMemory("small", llama2, jobOf(), 5 * GIB);
  assertEquals(fits, false);
  assert(needed_bytes > available_bytes!);
  assertStringIncludes(advice!, "max_seq_length");
});

Deno.test("a GPU of unknown memory is neither said to fit nor not to", () => {
  assertEquals(estimateMemory("?", llama2, jobOf(), null).fits, null);
});

Deno.test("a buffer that no card binds does not fit, however large the card is", () => {
  const wide = jobOf({ lora: { r: 4096, target_modules: "all-linear" } });
  const { fits, advice } = estimateMemory("huge", llama2, wide, 1000 * GIB);
  assertEquals(fits, false);
  assertStringIncludes(advice!, "lora.r (4096)");
});
