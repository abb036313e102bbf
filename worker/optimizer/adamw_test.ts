import { assertAlmostEquals, assertEquals, assertLess } from "@std/assert";
import { pcg32 } from "../../shared/prng.ts";
import type { GradientLayout } from "../../shared/model/gradient_layout.ts";
import { adamwUpdate, gradientNormOf, type UpdateRequest } from "./adamw.ts";

const layout: GradientLayout = {
  tensors: [{ name: "a", shape: [1, 64], offset: 0 }, { name: "b", shape: [2, 32], offset: 64 }],
  elementCount: 128,
  parameterCount: 128,
};

function requestOf(overrides: Partial<UpdateRequest> = {}): UpdateRequest {
  const prng = pcg32(5);
  return {
    sums: Int32Array.from({ length: 128 }, () => Math.round(prng.normal() * 1e6)),
    exponents: Int8Array.of(-20, -24),
    labelCount: 10,
    learningRate: 1e-2,
    updateNumber: 1,
    beta1: 0.9,
    beta2: 0.999,
    epsilon: 1e-8,
    weightDecay: 0,
    maxGradientNorm: 0,
    ...overrides,
  };
}

function stateOf(seed: number) {
  const prng = pcg32(seed);
  return {
    adapter: Float32Array.from({ length: 128 }, () => prng.normal()),
    firstMoment: new Float32Array(128),
    secondMoment: new Float32Array(128),
  };
}

const gradientOf = (request: UpdateRequest, i: number) =>
  request.sums[i]! * 2 ** request.exponents[i < 64 ? 0 : 1]! / request.labelCount;

Deno.test("the first update moves each parameter by the learning rate against its gradient's sign", () => {
  const [request, state] = [requestOf(), stateOf(1)];
  const next = stateOf(1);
  adamwUpdate(layout, request, state, next);
  for (let i = 0; i < 128; i++) {
    const moved = next.adapter[i]! - state.adapter[i]!;
    const shortfall = 1e-2 * 1e-8 / Math.abs(gradientOf(request, i)); // what epsilon takes from a small gradient
    assertAlmostEquals(moved, -1e-2 * Math.sign(request.sums[i]!), shortfall + 1e-6);
  }
});

Deno.test("ten updates agree with the textbook formula in f64, decay after the step", () => {
  const state = stateOf(2);
  const [p, m, v] = [Float64Array.from(state.adapter), new Float64Array(128), new Float64Array(128)];
  for (let t = 1; t <= 10; t++) {
    const request = requestOf({
      updateNumber: t,
      weightDecay: 0.1,
      maxGradientNorm: 0.3,
      exponents: Int8Array.of(-20, -10 - t),
    });
    const norm = adamwUpdate(layout, request, state, state);
    const squares = Array.from({ length: 128 }, (_, i) => gradientOf(request, i) ** 2);
    assertAlmostEquals(norm, Math.sqrt(squares.reduce((a, b) => a + b)), 1e-9 * norm);
    for (let i = 0; i < 128; i++) {
      const g = gradientOf(request, i) * Math.min(1, 0.3 / (norm + 1e-6));
      m[i] = 0.9 * m[i]! + 0.1 * g;
      v[i] = 0.999 * v[i]! + 0.001 * g * g;
      const [mHat, vHat] = [m[i]! / (1 - 0.9 ** t), v[i]! / (1 - 0.999 ** t)];
      p[i] = (p[i]! - 1e-2 * mHat / (Math.sqrt(vHat) + 1e-8)) * (1 - 1e-2 * 0.1);
    }
  }
  // Each of ten updates rounds a value below 4 to f32 three times: 10·3·2^−24·4.
  for (let i = 0; i < 128; i++) assertLess(Math.abs(state.adapter[i]! - p[i]!), 7.2e-6);
});

Deno.test("a gradient within the limit is not clipped, 0 never clips, rate 0 changes nothing", () => {
  const request = requestOf();
  const norm = gradientNormOf(layout, request);
  const [free, loose, still] = [stateOf(3), stateOf(3), stateOf(3)];
  adamwUpdate(layout, request, free, free);
  adamwUpdate(layout, { ...request, maxGradientNorm: norm * 1.01 }, loose, loose);
  adamwUpdate(layout, { ...request, learningRate: 0 }, still, still);
  assertEquals(loose.secondMoment, free.secondMoment);
  assertEquals(still.adapter, stateOf(3).adapter);
});

Deno.test("an update into separate arrays leaves the old state unchanged", () => {
  const [state, next] = [stateOf(4), stateOf(4)];
  adamwUpdate(layout, requestOf(), state, next);
  assertEquals(state, stateOf(4));
});
