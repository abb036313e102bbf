/**
 * The model of the toy engine. For each token and element i, A[i]·B[i] predicts a number in [−1, 1) that depends on both; the
 * loss is half the squared difference, averaged over the elements. As with LoRA, the gradient of A is 0 while B is 0.
 */
import { IGNORE_INDEX, type MicroBatch } from "../../shared/data/packing/micro_batch.ts";
import { type GradientLayout } from "../../shared/model/gradient_layout.ts";

/** The flat array of the toy: A, then B. */
export function toyLayout(rank = 4, factorSize = 64): GradientLayout {
  const name = (factor: string) => `base_model.model.model.layers.0.self_attn.q_proj.lora_${factor}.weight`;
  return {
    tensors: [
      { name: name("A"), shape: [rank, factorSize / rank], offset: 0 },
      { name: name("B"), shape: [factorSize / rank, rank], offset: factorSize },
    ],
    elementCount: 2 * factorSize,
    parameterCount: 2 * factorSize,
  };
}

/** A token counts as predicted if its loss is below this: about half of them at first. */
const CORRECT_BELOW = 1 / 6;

/** @param adapter A, then B [2 · factorSize] */
export function toyGradient(
  adapter: Float32Array,
  batch: MicroBatch,
): { gradient: Float32Array<ArrayBuffer>; lossSum: number; correctCount: number } {
  const factorSize = adapter.length / 2;
  const sum = new Float64Array(adapter.length);
  let lossSum = 0;
  let correctCount = 0;
  batch.tokens.forEach((token, at) => {
    if (batch.labels[at] === IGNORE_INDEX) return;
    const before = lossSum;
    for (let i = 0; i < factorSize; i++) {
      const [a, b] = [adapter[i]!, adapter[factorSize + i]!];
      const error = a * b - targetOf(token, i);
      lossSum += error * error / 2 / factorSize;
      sum[i]! += error * b / factorSize;
      sum[factorSize + i]! += error * a / factorSize;
    }
    if (lossSum - before < CORRECT_BELOW) correctCount++;
  });
  return { gradient: Float32Array.from(sum), lossSum: Math.fround(lossSum), correctCount };
}

/** A pseudo-random number in [−1, 1) that depends on both. */
function targetOf(token: number, i: number): number {
  return (Math.imul(token + 1, 0x9e37_79b1) + Math.imul(i + 1, 0x85eb_ca6b) >>> 16) / 2 ** 15 - 1;
}

/** Largest absolute value of each tensor. NaN propagates, as in the GPU's maximum of bits. */
export function maxAbsOf({ tensors, elementCount }: GradientLayout, gradient: Float32Array): Float32Array {
  return Float32Array.from(tensors, ({ offset }, index) => {
    let max = 0;
    for (const value of gradient.subarray(offset, tensors[index + 1]?.offset ?? elementCount)) {
      max = Number.isNaN(value) ? NaN : Math.max(max, Math.abs(value));
    }
    return max;
  });
}
