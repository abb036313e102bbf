/** Adapters and requests like those of real jobs. */
import type { GradientLayout } from "../../../shared/model/gradient_layout.ts";
import { pcg32 } from "../../../shared/prng.ts";
import type { UpdateRequest } from "../../../worker/optimizer/adamw.ts";

/** Tensors in turn of the sizes that rank 64 has in a 7B base, or of a smaller one's, up to so many elements. */
export function layoutOf(elementCount: number): GradientLayout {
  const sizes = elementCount > 10_000_000 ? [262144, 262144, 704512] : [4608, 4608, 12288];
  const tensors: { name: string; shape: [number, number]; offset: number }[] = [];
  for (let offset = 0; offset < elementCount;) {
    const size = Math.min(sizes[tensors.length % 3]!, elementCount - offset);
    tensors.push({ name: `t${tensors.length}`, shape: [1, size], offset });
    offset += size;
  }
  return { tensors, elementCount, parameterCount: elementCount };
}

export function requestOf(layout: GradientLayout, sums: Int32Array, updateNumber: number): UpdateRequest {
  return {
    ...{ sums, exponents: new Int8Array(layout.tensors.length).fill(-30), labelCount: 4096, updateNumber },
    ...{
      learningRate: 2e-4,
      beta1: 0.9,
      beta2: 0.999,
      epsilon: 1e-8,
      weightDecay: 0.001,
      maxGradientNorm: 0.3,
    },
  };
}

/** A block of random numbers over and over: what they are has little influence on the time. */
export function fillSums(sums: Int32Array): void {
  const prng = pcg32(9);
  const block = Int32Array.from({ length: 2 ** 16 }, () => (prng.uint32() | 0) >> 4);
  for (let at = 0; at < sums.length; at += block.length) {
    sums.set(block.subarray(0, Math.min(block.length, sums.length - at)), at);
  }
}
