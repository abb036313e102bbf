/**
 * The arithmetic of `adamwUpdate` (../adamw.ts) in WebAssembly, two numbers at a time and with the same bits: multiplication,
 * division, square root and rounding to f32 are exact IEEE operations in both, in the same order, and nothing is fused.
 */
import {
  assemble,
  type Code,
  countUp,
  f64,
  f64x2,
  pair,
  sequence,
  wasmFunction,
} from "../../../shared/std/wasm.ts";

/** The memories in which one update reads and writes. */
export const MEMORIES = [
  "sums",
  "adapter",
  "firstMoment",
  "secondMoment",
  "nextAdapter",
  "nextFirstMoment",
  "nextSecondMoment",
] as const;
export type MemoryName = typeof MEMORIES[number];

/** What is the same for all elements of an update. */
export interface Coefficients {
  readonly beta1: number;
  /** 1 − β₁ */
  readonly rest1: number;
  readonly beta2: number;
  readonly rest2: number;
  /** lr·√(1−β₂ᵗ)/(1−β₁ᵗ) */
  readonly stepSize: number;
  /** ε·√(1−β₂ᵗ) */
  readonly epsilon: number;
  /** 1 − lr·decay */
  readonly keep: number;
}

const BYTES_OF_PAIR = 8;
const { splat, lane, sqrt, add, sub, mul, div, fromI32, fromF32, toF32 } = f64x2;

const memoryOf = (name: MemoryName) => MEMORIES.indexOf(name);
/** `Math.fround` */
const rounded = (value: Code): Code => fromF32(toF32(value));

const squares = wasmFunction({
  parameters: { at: "i32", end: "i32" },
  variables: { sum: "f64", square: "v128" },
  result: "f64",
  body({ at, end, sum, square }) {
    const value = fromI32(pair.load(memoryOf("sums"), at.get));
    return sequence(
      countUp(
        at,
        end,
        BYTES_OF_PAIR,
        sequence(
          square.set(value),
          square.set(mul(square.get, square.get)),
          // One after the other: these sums round, so that their order is part of the result.
          sum.set(f64.add(f64.add(sum.get, lane(square.get, 0)), lane(square.get, 1))),
        ),
      ),
      sum.get,
    );
  },
});

const update = wasmFunction({
  parameters: {
    ...{ at: "i32", end: "i32", factor: "f64" },
    ...{
      beta1: "f64",
      rest1: "f64",
      beta2: "f64",
      rest2: "f64",
      stepSize: "f64",
      epsilon: "f64",
      keep: "f64",
    },
  },
  variables: {
    ...{ g: "v128", m: "v128", v: "v128" },
    ...{ factors: "v128", beta1s: "v128", rest1s: "v128", beta2s: "v128", rest2s: "v128" },
    ...{ stepSizes: "v128", epsilons: "v128", keeps: "v128" },
  },
  body({ at, end, g, m, v, factors, beta1s, rest1s, beta2s, rest2s, stepSizes, epsilons, keeps, ...of }) {
    const load = (name: MemoryName) => pair.load(memoryOf(name), at.get);
    const store = (name: MemoryName, value: Code) => pair.store(memoryOf(name), at.get, toF32(value));
    const step = div(mul(stepSizes.get, m.get), add(sqrt(v.get), epsilons.get));
    return sequence(
      // Twice the same number, once for all elements.
      factors.set(splat(of.factor.get)),
      beta1s.set(splat(of.beta1.get)),
      rest1s.set(splat(of.rest1.get)),
      beta2s.set(splat(of.beta2.get)),
      rest2s.set(splat(of.rest2.get)),
      stepSizes.set(splat(of.stepSize.get)),
      epsilons.set(splat(of.epsilon.get)),
      keeps.set(splat(of.keep.get)),
      countUp(
        at,
        end,
        BYTES_OF_PAIR,
        sequence(
          g.set(rounded(mul(fromI32(load("sums")), factors.get))),
          m.set(rounded(add(mul(beta1s.get, fromF32(load("firstMoment"))), mul(rest1s.get, g.get)))),
          v.set(
            rounded(
              add(mul(beta2s.get, fromF32(load("secondMoment"))), mul(mul(rest2s.get, g.get), g.get)),
            ),
          ),
          store("nextFirstMoment", m.get),
          store("nextSecondMoment", v.get),
          store("nextAdapter", mul(rounded(sub(fromF32(load("adapter")), step)), keeps.get)),
        ),
      ),
    );
  },
});

export const KERNEL_BYTES = assemble(MEMORIES, { squares, update });

const compiled = new WebAssembly.Module(KERNEL_BYTES);

export interface AdamWKernel {
  /** The sum of the squares of the gradient sums [start, end), added in their order in f64. */
  squares(start: number, end: number): number;
  /** Updates elements [start, end), both even; `factor` turns their sums into the clipped mean gradient. */
  update(start: number, end: number, factor: number, coefficients: Coefficients): void;
}

/** @param memories of the request and of both states; the elements lie at their starts */
export function adamwKernel(memories: Readonly<Record<MemoryName, WebAssembly.Memory>>): AdamWKernel {
  const { exports } = new WebAssembly.Instance(compiled, { memory: { ...memories } });
  const functions = exports as Record<"squares" | "update", (...values: number[]) => number>;
  return {
    squares: (start, end) => functions.squares(4 * start, 4 * end),
    update: (start, end, factor, { beta1, rest1, beta2, rest2, stepSize, epsilon, keep }) =>
      void functions.update(
        ...[4 * start, 4 * end, factor] as const,
        ...[beta1, rest1, beta2, rest2, stepSize, epsilon, keep] as const,
      ),
  };
}
