import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { planLora } from "../../shared/memory/lora_plan.ts";
import { planMemory } from "../../shared/memory/memory_plan.ts";
import { llama2 as llama2Config } from "../../shared/model/config_fixture.ts";
import { parseTransformerSpec } from "../../shared/model/parse_transformer_spec.ts";
import type { TransformerSpec } from "../../shared/model/transformer_spec.ts";
import { parseJobRequest } from "../job_request/parse.ts";
import { CARD_TENSOR_BYTES, CARDS, usableBytes } from "./cards.ts";
import { estimateMemory } from "./memory_estimate.ts";

const llama2 = parseTransformerSpec(llama2Config);
const llama2Large = parseTransformerSpec({
  architectures: ["LlamaForCausalLM"],
  hidden_size: 8192,
  intermediate_size: 28672,
  num_attention_heads: 64,
  num_key_value_heads: 8,
  num_hidden_layers: 80,
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
  const { kept_layers, trained_layers, planned_bytes, needed_bytes, gradient_checkpointing } = on(12);
  assertEquals([trained_layers, gradient_checkpointing], [32, true]);
  assert(kept_layers! > 1 && kept_layers! < 32);
  const eachBytes = (planned_bytes! - needed_bytes) / (kept_layers! - 1);
  assert(planned_bytes! <= 12 * GIB && planned_bytes! + eachBytes > 12 * GIB);
  assertEquals([on(null).kept_layers, on(null).planned_bytes], [null, null]);
  const all = on(16, { training: { gradient_checkpointing: false } });
  assertEquals([all.fits, all.kept_layers, all.gradient_checkpointing], [false, 32, false]);
  assertEquals(all.needed_bytes, all.planned_bytes);
  assertStringIncludes(all.advice!, "set training.gradient_checkpointing to true");
});

Deno.test("local steps need main memory for an outer state beside the optimizer's", () => {
  const on = (fleet: object) => estimateMemory("card", llama2, jobOf({ fleet, lora: { r: 256 } }), 24 * GIB);
  const { elementCount } = planLora(llama2, jobOf({ lora: { r: 256 } }).spec.lora).layout;
  const [without, withThem] = [on({}), on({ local_steps: {} })];
  assertEquals(withThem.host_bytes - without.host_bytes, 28 * elementCount);
  assertEquals(withThem.planned_bytes, without.planned_bytes);
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
  const wide = { ...jobOf({ lora: { r: 16384, target_modules: "all-linear" } }), maxTokensPerMicroBatch: 64 };
  const model = { ...llama2, intermediateSize: 36864 };
  const { fits, advice } = estimateMemory("huge", model, wide, 100_000 * GIB);
  assertEquals(fits, false);
  assertStringIncludes(advice!, "lora.r (16384)");
});

Deno.test("large adapters are planned: Llama-2-70B at r 64 on an H200, 7B at r 256 on 24 GB", () => {
  const estimateOn = (card: string, model: TransformerSpec, r: number) => {
    const lora = { r, target_modules: "all-linear" };
    const bytes = usableBytes(CARDS.find(({ name }) => name.startsWith(card))!);
    const estimate = estimateMemory(card, model, jobOf({ lora }), bytes);
    const parameters = planLora(model, jobOf({ lora }).spec.lora).layout.parameterCount;
    const adapter = estimate.parts.find(({ name }) => name === "adapter and its gradient")!;
    return { ...estimate, parameters, adapterBytes: adapter.bytes };
  };
  // By hand: r · (in + out) of every linear layer; adapter, gradient and sums in 4 bytes each, above 2 GiB each.
  const of70b = 80 * 64 * (2 * (8192 + 8192) + 2 * (8192 + 1024) + 3 * (8192 + 28672));
  const of7b = 32 * 256 * (4 * (4096 + 4096) + 3 * (4096 + 11008));
  for (
    const [card, model, r, parameters] of [["H200", llama2Large, 64, of70b], [
      "RTX 3090",
      llama2,
      256,
      of7b,
    ]] as const
  ) {
    const found = estimateOn(card, model, r);
    assertEquals([found.fits, found.advice, found.parameters], [true, null, parameters]);
    assert(4 * parameters > CARD_TENSOR_BYTES);
    assert(found.adapterBytes > 12 * parameters && found.adapterBytes < 12.1 * parameters);
    assert(found.needed_bytes < found.available_bytes!);
  }
});

Deno.test("tables that are stored in 16 bits are told as such, and needed as such", () => {
  const tables = { embeddings: "bf16", head: "bf16" } as const;
  const half = estimateMemory("RTX 3090", llama2, { ...jobOf(), tables }, 23 * GIB);
  const whole = estimateMemory("RTX 3090", llama2, jobOf(), 23 * GIB);
  assertEquals(whole.needed_bytes - half.needed_bytes, 2 * 2 * 32000 * 4096);
  const part = half.parts.find(({ name }) => name === "base model, bf16")!;
  assertEquals([part.bytes, part.detail], [2 * 2 * 32000 * 4096, "embeddings 32000×4096, output layer"]);
});
