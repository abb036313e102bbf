/** The exponents of the integer gradient sums (decision 0001, points 1 and 2), from the gradients' maxima. */

/** One exponent for each LoRA tensor; null until a gradient sets it. */
export type Exponents = readonly (number | null)[];

/** Beyond these 2^±e is no normal f32, and GPUs may flush it to zero. */
export const MIN_EXPONENT = -126;
export const MAX_EXPONENT = 126;

/** The largest |integer| that one micro-batch may add, so that no sum of `microBatchCount` of them leaves i32. */
export function sumCap(microBatchCount: number): number {
  return Math.floor((2 ** 31 - 1) / microBatchCount);
}

/**
 * For each tensor the smallest e with maxAbs · 2^headroomBits ≤ 2^e · ⌊(2^31−1)/N⌋; null for a maximum of 0, which does
 * not show the tensor's scale.
 */
export function exponentsFrom(
  maxAbs: Float32Array,
  microBatchCount: number,
  headroomBits: number,
): Exponents {
  const cap = sumCap(microBatchCount);
  return Array.from(maxAbs, (max) => {
    if (max === 0) return null;
    // All products here are exact in f64: f32 values and 31-bit integers times powers of two.
    const needed = max * 2 ** headroomBits;
    let exponent = Math.ceil(Math.log2(needed / cap));
    while (needed > 2 ** exponent * cap) exponent++;
    while (needed <= 2 ** (exponent - 1) * cap) exponent--;
    return Math.min(MAX_EXPONENT, Math.max(MIN_EXPONENT, exponent));
  });
}

/**
 * What the next step's exponents come from: the largest maxima so far, each `keptShare` of it a step later. One array stands for a
 * window of steps, so that a commit has all that a restarted coordinator needs.
 * @param before of the step before; empty before the first one
 * @param maxAbs of this step
 */
export function fadingMaxima(before: Float32Array, maxAbs: Float32Array, keptShare: number): Float32Array {
  // Products of an f32 and a share with few bits are exact in f64; the array rounds them as every machine does.
  return maxAbs.map((max, tensor) => Math.max(max, (before[tensor] ?? 0) * keptShare));
}

/** The first tensor whose maximum does not fit its exponent, or −1. A maximum of 0 always fits. */
export function firstMisfit(maxAbs: Float32Array, exponents: Exponents, microBatchCount: number): number {
  const cap = sumCap(microBatchCount);
  return maxAbs.findIndex((max, tensor) => {
    const exponent = exponents[tensor];
    return max !== 0 && (exponent === null || exponent === undefined || !(max <= 2 ** exponent * cap));
  });
}

/** Whether the sums of all tensors stay within i32. */
export function fits(maxAbs: Float32Array, exponents: Exponents, microBatchCount: number): boolean {
  return firstMisfit(maxAbs, exponents, microBatchCount) === -1;
}

/** The first tensor with a NaN or an infinity in its gradient, or −1. */
export function firstNonFinite(maxAbs: Float32Array): number {
  return maxAbs.findIndex((max) => !Number.isFinite(max));
}

/** The maxima over several micro-batches; each array has one element per tensor. */
export function mergeMaxima(all: readonly Float32Array[]): Float32Array {
  const merged = new Float32Array(all[0]?.length ?? 0);
  for (const maxAbs of all) {
    for (let tensor = 0; tensor < merged.length; tensor++) {
      merged[tensor] = Math.max(merged[tensor]!, maxAbs[tensor]!);
    }
  }
  return merged;
}
