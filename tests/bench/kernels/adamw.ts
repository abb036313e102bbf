/** AdamW, which runs on the CPU. */
import { pcg32 } from "../../../shared/prng.ts";
import { constantsOf, normOf, type UpdateRequest } from "../../../worker/optimizer/adamw.ts";
import { type AdamWState, emptyState } from "../../../worker/optimizer/adamw_state.ts";
import { allocateNumbers, floatsIn, integersIn } from "../../../worker/optimizer/shared_numbers.ts";
import { adamwKernel, MEMORIES, type MemoryName } from "../../../worker/optimizer/wasm/adamw_kernel.ts";
import type { GradientLayout } from "../../../shared/model/gradient_layout.ts";
import type { BenchCase } from "./bench_case.ts";

/** The textbook formula, element by element, with the factors of each computed anew. */
function naiveUpdate(request: UpdateRequest, { adapter, firstMoment, secondMoment }: AdamWState): void {
  const { sums, exponents, labelCount, beta1, beta2, updateNumber: t, learningRate, epsilon } = request;
  for (let i = 0; i < adapter.length; i++) {
    const g = sums[i]! * 2 ** exponents[0]! / labelCount;
    firstMoment[i] = beta1 * firstMoment[i]! + (1 - beta1) * g;
    secondMoment[i] = beta2 * secondMoment[i]! + (1 - beta2) * g ** 2;
    const mHat = firstMoment[i]! / (1 - beta1 ** t);
    const vHat = secondMoment[i]! / (1 - beta2 ** t);
    adapter[i] = (adapter[i]! - learningRate * mHat / (Math.sqrt(vHat) + epsilon)) *
      (1 - learningRate * request.weightDecay);
  }
}

export function* adamwCases(): Generator<BenchCase> {
  for (const elementCount of [2 ** 18, 2 ** 22]) {
    const prng = pcg32(1);
    const layout: GradientLayout = {
      tensors: [{ name: "lora_A", shape: [64, elementCount / 64], offset: 0 }],
      elementCount,
      parameterCount: elementCount,
    };
    const request: UpdateRequest = {
      sums: Int32Array.from({ length: elementCount }, () => prng.uint32() | 0),
      exponents: Int8Array.of(-30),
      labelCount: 100,
      learningRate: 1e-4,
      updateNumber: 1,
      beta1: 0.9,
      beta2: 0.999,
      epsilon: 1e-8,
      weightDecay: 0.01,
      maxGradientNorm: 0,
    };
    const expected = emptyState(elementCount);
    const memories = Object.fromEntries(
      MEMORIES.map((name) => [name, allocateNumbers(layout)]),
    ) as Record<MemoryName, WebAssembly.Memory>;
    integersIn(memories.sums, elementCount).set(request.sums);
    // In place, as the naive one.
    const kernel = adamwKernel({
      ...memories,
      nextAdapter: memories.adapter,
      nextFirstMoment: memories.firstMoment,
      nextSecondMoment: memories.secondMoment,
    });
    const ours = () => {
      const norm = normOf([kernel.squares(0, elementCount)], request);
      const { factors, coefficients } = constantsOf(request, norm);
      kernel.update(0, elementCount, factors[0]!, coefficients);
    };
    yield {
      label: `${elementCount} parameters`,
      naive: () => naiveUpdate(request, expected),
      ours,
      outputs: () =>
        Promise.resolve({ naive: expected.adapter, ours: floatsIn(memories.adapter, elementCount) }),
      cost: { amount: 28 * elementCount, unit: "B" },
    };
  }
}
