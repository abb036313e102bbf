import { assertAlmostEquals, assertEquals, assertLess } from "@std/assert";
import { z } from "zod";
import { pcg32 } from "../../shared/prng.ts";
import { readGolden } from "../../tests/golden/data_goldens.ts";
import type { GradientLayout } from "../../shared/model/gradient_layout.ts";
import { nesterovUpdateTensor, type OuterRequest, type OuterState } from "./nesterov.ts";

const layout: GradientLayout = {
  tensors: [{ name: "a", shape: [1, 64], offset: 0 }, { name: "b", shape: [2, 32], offset: 64 }],
  elementCount: 128,
  parameterCount: 128,
};

function requestOf(seed: number, overrides: Partial<OuterRequest> = {}): OuterRequest {
  const prng = pcg32(seed);
  return {
    sums: Int32Array.from({ length: 128 }, () => Math.round(prng.normal() * 1e6)),
    exponents: Int8Array.of(-20, -24),
    replicaCount: 4,
    learningRate: 0.7,
    momentum: 0.9,
    ...overrides,
  };
}

function stateOf(seed: number): OuterState {
  const prng = pcg32(seed);
  return {
    adapter: Float32Array.from({ length: 128 }, () => prng.normal()),
    momentum: new Float32Array(128),
  };
}

/** Both tensors; returns the sum of squares. */
const update = (request: OuterRequest, from: OuterState, to = from) =>
  nesterovUpdateTensor(layout, 0, request, from, to) + nesterovUpdateTensor(layout, 1, request, from, to);

const cases = await readGolden(
  "outer_sgd.json",
  z.array(z.object({
    ...{ learning_rate: z.number(), momentum: z.number(), replicas: z.number(), exponent: z.number() },
    ...{
      start: z.array(z.number()),
      sums: z.array(z.array(z.number())),
      after: z.array(z.array(z.number())),
    },
  })),
);

Deno.test("torch's SGD with Nesterov's momentum makes the same steps", () => {
  assertEquals(cases.map(({ learning_rate, momentum }) => [learning_rate, momentum])[0], [0.7, 0.9]);
  for (const { learning_rate, momentum, replicas, exponent, start, sums, after } of cases) {
    const one = { ...layout, tensors: layout.tensors.slice(0, 1), elementCount: start.length };
    const state = { adapter: Float32Array.from(start), momentum: new Float32Array(start.length) };
    // torch rounds each of four operations, we two: a place of the largest value each, and momentum carries
    // it on.
    let tolerance = 0;
    for (const [step, expected] of after.entries()) {
      const request = {
        ...{ sums: Int32Array.from(sums[step]!), exponents: Int8Array.of(exponent), replicaCount: replicas },
        ...{ learningRate: learning_rate, momentum },
      };
      nesterovUpdateTensor(one, 0, request, state, state);
      const largest = Math.max(...expected.map(Math.abs), ...state.momentum.map(Math.abs));
      tolerance += 6 * 2 ** -24 * largest / (1 - momentum);
      expected.forEach((value, i) => assertAlmostEquals(state.adapter[i]!, value, tolerance));
    }
  }
});

Deno.test("ten updates agree with the textbook formula in f64", () => {
  const state = stateOf(2);
  const [p, b] = [Float64Array.from(state.adapter), new Float64Array(128)];
  for (let t = 1; t <= 10; t++) {
    const request = requestOf(t);
    const squares = update(request, state);
    const g = Array.from(request.sums, (sum, i) => sum * 2 ** request.exponents[i < 64 ? 0 : 1]! / 4);
    const expected = g.reduce((sum, value) => sum + value * value, 0);
    assertAlmostEquals(squares, expected, 1e-6 * expected);
    g.forEach((value, i) => {
      b[i] = 0.9 * b[i]! + value;
      p[i] = p[i]! - 0.7 * (value + 0.9 * b[i]!);
    });
  }
  // Each update rounds a gradient, a momentum and a parameter below 16 to f32; a momentum's error is carried
  // on ten times.
  for (let i = 0; i < 128; i++) assertLess(Math.abs(state.adapter[i]! - p[i]!), 10 * 12 * 2 ** -24 * 16);
});

Deno.test("rate 1 without momentum lands on the mean of the replicas", () => {
  const [state, request] = [stateOf(3), requestOf(3, { learningRate: 1, momentum: 0 })];
  update(request, state);
  stateOf(3).adapter.forEach((start, i) => {
    const mean = Math.fround(request.sums[i]! * 2 ** request.exponents[i < 64 ? 0 : 1]! / 4);
    assertEquals(state.adapter[i], Math.fround(start - mean));
  });
});

Deno.test("updating into other arrays leaves the old state as it was", () => {
  const [state, next] = [stateOf(4), stateOf(5)];
  update(requestOf(4), state, next);
  assertEquals(state, stateOf(4));
  const inPlace = stateOf(4);
  update(requestOf(4), inPlace);
  assertEquals(next, inPlace);
});
