/** The formulas of the kernels against what is known of a whole step, and against the tensors that dispatches bind. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { LoraFleetError } from "../../shared/errors.ts";
import { loraSchema } from "../../shared/job/job_spec_schema.ts";
import type { TransformerSpec } from "../../shared/model/transformer_spec.ts";
import { lensCard } from "./cards.ts";
import type { RecordedDispatch } from "./fake_gpu/recorded.ts";
import { modelNamed } from "./models.ts";
import { recordStep, type StepOptions, type StepRecord } from "./step.ts";
import { summarize } from "./summary.ts";

const OPTIONS: StepOptions = {
  lora: loraSchema.parse({ r: 64, lora_dropout: 0.1, target_modules: "all-linear" }),
  tokens: 2048,
  documents: 1,
  labelShare: 1,
  microBatches: 1,
  doubleQuantization: true,
  gradientCheckpointing: false,
  memoryBytes: 2 ** 47,
  regularisation: { noiseAlpha: 0, labelSmoothing: 0 },
};
const card = lensCard("h200");

function flopsOf({ submits }: StepRecord, kinds: RegExp): number {
  return submits.flat().reduce((sum, { cost }) => kinds.test(cost.kind) ? sum + cost.flops : sum, 0);
}

/** Of a decoder layer: [out, in] of each linear layer, the three whose input's gradient layer 0 does not need first. */
function linearShapes(
  { hiddenSize: h, intermediateSize: i, headCount, kvHeadCount, headDim }: TransformerSpec,
) {
  const [query, keyValue] = [headCount * headDim, kvHeadCount * headDim];
  return [[query, h], [keyValue, h], [keyValue, h], [h, query], [i, h], [i, h], [h, i]] as const;
}

const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);

for (const model of ["llama2-7b", "llama3-1b"]) {
  Deno.test(`${model}: with all activations kept, a step's products are 4 FLOPs per frozen weight and token, LoRA's 6, and attention's 18`, async () => {
    const spec = modelNamed(model);
    const record = await recordStep(spec, card, OPTIONS);
    const { tokens: T, lora: { r } } = OPTIONS;
    const shapes = linearShapes(spec);
    const layers = spec.layerCount;
    const weights = layers * sum(shapes.map(([out, columns]) => out * columns));
    const first = shapes.slice(0, 3);
    // Forward and the input's gradient: 2 FLOPs each; layer 0 has nothing below it that learns.
    const unneeded = sum(first.map(([out, columns]) => out * columns));
    assertEquals(flopsOf(record, /^NF4/), 4 * T * weights - 2 * T * unneeded);
    // A·x, B·(A·x), dB, dInner, dA and dx: 6 products over rows that are in or out long; 6·r·(in + out)/2 · 2.
    const lora = layers * r * sum(shapes.map(([out, columns]) => out + columns));
    assertEquals(lora, record.loraParameters);
    assertEquals(
      flopsOf(record, /^LoRA/),
      6 * T * lora - 2 * T * r * sum(first.map(([, columns]) => columns)),
    );
    // 2 products forward, 7 backward, over the T(T+1)/2 pairs of causal attention.
    const attention = layers * spec.headCount * spec.headDim * T * (T + 1) / 2;
    assertEquals(flopsOf(record, /^attention/), (4 + 6 + 8) * attention);
    // Logits, and their gradient; in several chunks the backward makes the logits once more.
    const head = T * spec.vocabSize * spec.hiddenSize;
    const isChunked = T * spec.vocabSize * 4 > 256 * 2 ** 20;
    assertEquals(flopsOf(record, /^output/), (isChunked ? 6 : 4) * head);
    // The rest is small.
    const rest = flopsOf(record, /./) - flopsOf(record, /matmul|^attention/);
    assert(rest > 0 && rest < 0.002 * flopsOf(record, /./), `${rest}`);
  });
}

Deno.test("recomputing adds a forward of every layer but the last, without the last product of each", async () => {
  const spec = modelNamed("llama2-7b");
  const kept = await recordStep(spec, card, OPTIONS);
  const computed = await recordStep(spec, card, { ...OPTIONS, gradientCheckpointing: true });
  const shapes = linearShapes(spec);
  const withoutDown = sum(shapes.slice(0, 6).map(([out, columns]) => out * columns));
  const again = 2 * OPTIONS.tokens * (spec.layerCount - 1) * withoutDown;
  assertEquals(flopsOf(computed, /^NF4/) - flopsOf(kept, /^NF4/), again);
});

Deno.test("documents: attention's work is the sum of theirs; labels: the output layer's is that of the labelled tokens", async () => {
  const spec = modelNamed("llama3-1b");
  const record = await recordStep(spec, card, { ...OPTIONS, documents: 8, labelShare: 0.25 });
  const pairs = 8 * 256 * 257 / 2;
  assertEquals(flopsOf(record, /^attention/), 18 * spec.layerCount * spec.headCount * spec.headDim * pairs);
  assertEquals(flopsOf(record, /^output/) % (512 * spec.vocabSize * spec.hiddenSize), 0);
});

/** Buffers that a dispatch needs in part: tables (and the rows that one of their slabs gives), and those that are made for the widest layer or a whole chunk. */
const IN_PART = /^(dropped|loraInner|dLoraInner|logits|dynamic map|.*embed_tokens.*|.*lm_head.*|loss)$/;
/** Bound because the kernel has the binding; not read without a bias, or without double quantisation. */
const UNREAD = ["bias"];

function assertBytes(
  { kernel, bindings }: RecordedDispatch,
  reads: Record<string, number>,
  writes: Record<string, number>,
) {
  for (const [name, { access, byteLength, buffer }] of Object.entries(bindings)) {
    const what = `${kernel}.${name} (${buffer.label})`;
    const [read, written] = [reads[name] ?? 0, writes[name] ?? 0];
    if (access === "read") assertEquals(written, 0, what);
    const most = Math.max(read, written);
    if (UNREAD.includes(name)) continue;
    assert(most > 0 && most <= byteLength, `${what}: ${most} of ${byteLength}`);
    const isPart = IN_PART.test(buffer.label) || kernel === "gather_rows" && name === "y";
    if (!isPart) assertEquals(most, byteLength, what);
  }
  for (const name of [...Object.keys(reads), ...Object.keys(writes)]) {
    assert(name in bindings, `${kernel}: ${name}`);
  }
}

Deno.test("bytes: at the planned size every dispatch reads and writes its tensors whole, but for those that are larger by design", async () => {
  const record = await recordStep(modelNamed("llama3-1b"), card, OPTIONS);
  let count = 0;
  for (const { command, cost } of record.submits.flat()) {
    if (command.kind !== "dispatch") continue;
    assertBytes(command, { ...cost.reads }, { ...cost.writes });
    count++;
  }
  assert(count > 1000);
});

Deno.test("what is issued is at least what is needed, and at exact tiles no more", async () => {
  const record = await recordStep(modelNamed("llama2-7b"), card, OPTIONS);
  for (const { command, cost: { kind, flops, issuedFlops = flops } } of record.submits.flat()) {
    assert(issuedFlops >= flops, kind);
    if (/^NF4/.test(kind)) assertEquals(issuedFlops, flops);
    if (command.kind === "dispatch" && /^attention/.test(kind)) assert(issuedFlops < 1.06 * flops, kind);
  }
});

Deno.test("the plan is what is allocated, and a plan beyond the memory is refused as on a worker", async () => {
  const spec = modelNamed("llama3-1b");
  const record = await recordStep(spec, card, OPTIONS);
  // Params of dispatches, timestamps, and the staging buffer of the loss and the maxima.
  assert(record.peakBytes - record.plannedBytes < 2 ** 21, `${record.peakBytes - record.plannedBytes}`);
  const small = { ...OPTIONS, memoryBytes: 2 ** 30 };
  const error = await assertRejects(
    () => recordStep(spec, lensCard("rtx3090"), small),
    LoraFleetError,
  );
  assertEquals(error.code, "does_not_fit");
});

Deno.test("a card that has less than its plan keeps fewer layers, says so, and computes the same products", async () => {
  const options = {
    ...OPTIONS,
    gradientCheckpointing: "where needed" as const,
    tokens: 4096,
    memoryBytes: null,
  };
  const record = await recordStep(modelNamed("llama2-7b"), lensCard("rtx3090"), options);
  const [, given] = /the GPU has memory for (\d+);/.exec(record.planText) ?? [];
  assert(Number(given) > 1 && Number(given) < 32, record.planText);
  assert(record.peakBytes <= 24 * 2 ** 30);
  assert(flopsOf(record, /^NF4/) > 4 * 4096 * 6.4e9);
});

Deno.test("a worker learns the card's speed from its timestamps: few submits, none above 200 ms, none long before it knows", async () => {
  const rtx3090 = lensCard("rtx3090");
  const options = { ...OPTIONS, gradientCheckpointing: "where needed" as const, memoryBytes: 22 * 2 ** 30 };
  const step = summarize(await recordStep(modelNamed("llama2-7b"), rtx3090, options), rtx3090);
  assert(step.submits < step.stepSeconds * 20 && step.submits < step.firstSubmits / 10, `${step.submits}`);
  assert(step.longestSubmitSeconds <= 0.2 && step.longestFirstSubmitSeconds <= 0.2);
});

Deno.test("Llama-2-7B: keeping what fits saves 25% of a step's FLOPs and makes it 1.3 times as fast, with 22 GiB and on an H200", async () => {
  const spec = modelNamed("llama2-7b");
  for (const [key, memoryBytes] of [["rtx3090", 22 * 2 ** 30], ["h200", 132 * 2 ** 30]] as const) {
    const card = lensCard(key);
    const stepWith = async (gradientCheckpointing: StepOptions["gradientCheckpointing"]) =>
      summarize(await recordStep(spec, card, { ...OPTIONS, gradientCheckpointing, memoryBytes }), card);
    const [computed, kept] = [await stepWith(true), await stepWith("where needed")];
    assert(computed.flops > 82e12 && kept.flops <= 62e12, `${key}: ${computed.flops}, ${kept.flops}`);
    assert(
      computed.stepSeconds >= 1.3 * kept.stepSeconds,
      `${key}: ${computed.stepSeconds}, ${kept.stepSeconds}`,
    );
  }
});
