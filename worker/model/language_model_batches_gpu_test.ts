import { assert, assertEquals, assertRejects } from "@std/assert";
import { type LadderCase, loadLadderCase } from "../../tests/golden/golden.ts";
import {
  allLogits,
  documentAt,
  GOLDEN_MAX_TOKENS,
  gradientOf,
  loadGoldenModel,
} from "../../tests/golden/golden_model.ts";
import { passError } from "../../tests/golden/golden_tolerance.ts";
import { IGNORE_INDEX, type MicroBatch } from "../../shared/data/packing/micro_batch.ts";
import { rms } from "../kernels/testing/tolerance.ts";

const golden = loadLadderCase("gqa_tied");
const packed = golden.batches[0]!.batch;
const short = golden.batches[1]!.batch;

/** All documents of a case in one micro-batch: with LongRoPE, long ones and short ones. */
function joined({ batches }: LadderCase): MicroBatch {
  const parts = batches.map(({ batch }) => batch);
  const starts = parts.map((_, i) => parts.slice(0, i).reduce((sum, { tokens }) => sum + tokens.length, 0));
  return {
    tokens: Uint32Array.from(parts.flatMap(({ tokens }) => [...tokens])),
    labels: Int32Array.from(parts.flatMap(({ labels }) => [...labels])),
    positions: Uint32Array.from(parts.flatMap(({ positions }) => [...positions])),
    segmentStarts: Uint32Array.from(
      parts.flatMap(({ segmentStarts }, i) => [...segmentStarts].map((start) => start + starts[i]!)),
    ),
  };
}

for (const name of ["gqa_tied", "mistral_window", "longrope"] as const) {
  Deno.test(`${name}: each of several documents in a row has the logits that it has alone, bit for bit`, async () => {
    const golden = loadLadderCase(name);
    const batch = joined(golden);
    const model = await loadGoldenModel(golden);
    const together = await allLogits(model, batch);
    const { vocabSize } = model.spec;
    for (const start of new Set(batch.segmentStarts)) {
      const alone = await allLogits(model, documentAt(batch, start));
      assertEquals(alone, together.slice(start * vocabSize, start * vocabSize + alone.length));
    }
  });
}

Deno.test("the gradient of several documents in a row is the sum of theirs alone", async () => {
  const model = await loadGoldenModel(golden);
  const together = await gradientOf(model, packed);
  const sum = new Float64Array(together.gradient.length);
  let lossSum = 0;
  for (const start of new Set(packed.segmentStarts)) {
    const alone = await gradientOf(model, documentAt(packed, start));
    lossSum += alone.lossSum;
    alone.gradient.forEach((value, i) => sum[i]! += value);
  }
  assert(Math.abs(lossSum - together.lossSum) <= 4 * 2 ** -24 * lossSum);
  // Each side sums over tokens in f32, in a different order: a tensor's elements differ by some roundings of its size.
  const relative = 8 * passError(model.spec, packed.tokens.length);
  for (const { name, shape, offset } of model.lora.layout.tensors) {
    const range = [offset, offset + shape[0] * shape[1]] as const;
    const tolerance = relative * rms(sum.subarray(...range));
    sum.subarray(...range).forEach((value, i) => {
      const error = Math.abs(value - together.gradient[offset + i]!);
      assert(error <= tolerance, `${name}[${i}]: error ${error}, allowed ${tolerance}`);
    });
  }
});

Deno.test("a shorter micro-batch after a longer one sees nothing of it, nor does a model of a different size", async () => {
  const model = await loadGoldenModel(golden);
  const fresh = await gradientOf(model, short);
  await gradientOf(model, packed);
  assertEquals(await gradientOf(model, short), fresh);
  const exact = await loadGoldenModel(golden, { maxTokens: short.tokens.length });
  assertEquals(await gradientOf(exact, short), fresh);
});

Deno.test("a micro-batch of one token has a loss and a gradient", async () => {
  const model = await loadGoldenModel(golden);
  const one = documentAt(packed, 9);
  assertEquals(one.tokens.length, 1);
  const { lossSum, gradient } = await gradientOf(model, { ...one, labels: Int32Array.of(7) });
  const logits = await allLogits(model, one);
  const logSumExp = Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit), 0));
  assert(Math.abs(lossSum - (logSumExp - logits[7]!)) < 16 * 2 ** -24 * Math.abs(logSumExp));
  assert(gradient.some((value) => value !== 0) && gradient.every(Number.isFinite));
});

Deno.test("a micro-batch without labels has loss 0 and gradient 0, after any other", async () => {
  const model = await loadGoldenModel(golden);
  await gradientOf(model, packed);
  const none = { ...packed, labels: new Int32Array(packed.tokens.length).fill(IGNORE_INDEX) };
  const { lossSum, gradient } = await gradientOf(model, none);
  assertEquals([lossSum, gradient.findIndex((value) => value !== 0)], [0, -1]);
  assertEquals(await model.evaluate(none), { lossSum: 0, labelCount: 0, correctCount: 0 });
});

Deno.test("the output layer in chunks of the vocabulary gives the same logits and loss", async () => {
  const whole = await loadGoldenModel(golden);
  const chunked = await loadGoldenModel(golden, { logitsChunkBytes: 17 * GOLDEN_MAX_TOKENS * 4 });
  assertEquals(chunked.weights.head.map(({ rowCount }) => rowCount), [17, 17, 17, 17, 17, 17, 17, 12]);
  assertEquals(await allLogits(chunked, packed), await allLogits(whole, packed));
  const [one, other] = [await gradientOf(whole, packed), await gradientOf(chunked, packed)];
  assert(Math.abs(one.lossSum - other.lossSum) <= 16 * 2 ** -24 * one.lossSum);
});

Deno.test("a micro-batch beyond the memory plan or the model's tables is refused", async () => {
  const small = await loadGoldenModel(golden, { maxTokens: 8 });
  await assertRejects(() => small.evaluate(packed), RangeError, "24 tokens");
  const model = await loadGoldenModel(golden, { maxPositions: 14 });
  const { vocabSize } = model.spec;
  const unknown = { ...packed, tokens: packed.tokens.with(3, vocabSize) };
  await assertRejects(() => model.evaluate(unknown), RangeError, `token 3 of a micro-batch is ${vocabSize}`);
  const far = { ...packed, positions: packed.positions.with(23, 14) };
  await assertRejects(() => model.evaluate(far), RangeError, "position 23 of a micro-batch is 14");
  const wrong = { ...packed, labels: packed.labels.with(20, -7) };
  await assertRejects(() => model.evaluate(wrong), RangeError, "of a micro-batch is 4294967289");
  assert((await model.evaluate(packed)).lossSum > 0);
});
