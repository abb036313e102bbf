/** The start of one layer's adapter: B₀·A₀ is the largest singular values of its weight, divided by the scale. */
import type { Factors } from "../../../shared/checkpoint/merge/pissa_halves.ts";
import { normalAt } from "../../../shared/memory/fresh_adapter.ts";
import type { Matrix } from "./products.ts";
import { exactSvd, lowRankSvd, type Singular } from "./svd.ts";

/** Of the random vectors. One for all jobs, so that a start depends on nothing but the weight, the rank and the scale. */
const SEED = 0;

export interface StartSpec {
  readonly rank: number;
  readonly scale: number;
  /** Null: the exact decomposition. */
  readonly iterations: number | null;
}

/** B₀ and A₀ of a weight. */
export function startOf(weight: Matrix, { rank, scale, iterations }: StartSpec): Factors {
  const normals = (vector: number, index: number) => normalAt(SEED, vector, index);
  const singular = iterations === null
    ? exactSvd(weight, rank, normals)
    : lowRankSvd(weight, rank, iterations, normals);
  return factorsOf(weight, singular, scale);
}

/** As PEFT's `pissa_init`: A₀ = √(Σ/s)·Vᵀ [rank, in], B₀ = U·√(Σ/s) [out, rank], in f32. */
export function factorsOf(
  { rows, columns }: Pick<Matrix, "rows" | "columns">,
  { values, left, right }: Singular,
  scale: number,
): Factors {
  const rank = values.length;
  const a = new Float32Array(rank * columns);
  const b = new Float32Array(rows * rank);
  values.forEach((value, k) => {
    const root = Math.sqrt(value / scale);
    right[k]!.forEach((number, j) => a[k * columns + j] = root * number);
    left[k]!.forEach((number, row) => b[row * rank + k] = root * number);
  });
  return { a, b };
}
