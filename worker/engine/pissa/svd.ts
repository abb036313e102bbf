/** The largest singular values of a weight, with their vectors. */
import { orthogonalise, orthonormalise } from "./orthogonal.ts";
import { combine, dot, type Matrix, scaleBy, times, transposedTimes, type Vectors } from "./products.ts";
import { rotateApart } from "./small_svd.ts";
import { tridiagonalEigen } from "./symmetric_eigen.ts";

/** W ≈ Σ values[i] · left[i] · right[i]ᵀ; the values descend. left: vectors [rows], right: [columns]. */
export interface Singular {
  readonly values: readonly number[];
  readonly left: Vectors;
  readonly right: Vectors;
}

/** Normal numbers of a fixed sequence: element `index` of vector `vector`. */
export type Normals = (vector: number, index: number) => number;

/**
 * Halko, Martinsson and Tropp's randomised subspace iteration as `torch.svd_lowrank(W, rank, niter)` does it, which PEFT calls for
 * `pissa_niter_…`: 2 · iterations + 2 products with the weight for each vector.
 */
export function lowRankSvd(matrix: Matrix, rank: number, iterations: number, normals: Normals): Singular {
  const isWide = matrix.rows < matrix.columns;
  // torch works on the transpose of a wide matrix.
  const forth = (xs: Vectors) => isWide ? transposedTimes(matrix, xs) : times(matrix, xs);
  const back = (ys: Vectors) => isWide ? times(matrix, ys) : transposedTimes(matrix, ys);
  const short = Math.min(matrix.rows, matrix.columns);
  const drawn = Array.from(
    { length: rank },
    (_, at) => Float64Array.from({ length: short }, (_, index) => normals(at, index)),
  );
  let basis = forth(drawn);
  orthonormalise(basis);
  for (let done = 0; done < iterations; done++) {
    const across = back(basis);
    orthonormalise(across);
    basis = forth(across);
    orthonormalise(basis);
  }
  // The columns of (Qᵀ·W)ᵀ, rotated apart by V: Qᵀ·W = V · Σ · right.
  const projected = back(basis);
  const turns = unitVectors(rank);
  rotateApart(projected, turns);
  const sorted = byLength(projected, turns.map((turn) => combine(basis, turn, basis[0]!.length)));
  return isWide ? { values: sorted.values, left: sorted.right, right: sorted.left } : sorted;
}

function unitVectors(count: number): Float64Array[] {
  return Array.from({ length: count }, (_, at) => {
    const unit = new Float64Array(count);
    unit[at] = 1;
    return unit;
  });
}

function byLength(right: Vectors, left: Vectors): Singular {
  const lengths = right.map((vector) => Math.sqrt(dot(vector, vector)));
  const order = lengths.map((_, at) => at).sort((a, b) => lengths[b]! - lengths[a]! || a - b);
  const units = right.map((vector, at) => {
    const unit = vector.slice();
    if (lengths[at]! > 0) scaleBy(unit, 1 / lengths[at]!);
    return unit;
  });
  return {
    values: order.map((at) => lengths[at]!),
    left: order.map((at) => left[at]!),
    right: order.map((at) => units[at]!),
  };
}

/** A singular pair is found when the weight moves it by no more than this share of the largest value. */
const CONVERGED = 1e-10;
/** A new direction of less than this share of the largest is rounding. */
const EXHAUSTED = 1e-13;

/**
 * The first `rank` singular values and vectors to f64's accuracy, by Golub and Kahan's bidiagonalisation with full
 * orthogonalisation: two products with the weight for each step, until the values have converged, at the latest when the space
 * is exhausted, where the result is the full decomposition's.
 */
export function exactSvd(
  matrix: Matrix,
  rank: number,
  normals: Normals,
): Singular & { readonly steps: number } {
  const { rows, columns } = matrix;
  const limit = Math.min(rows, columns);
  const [us, vs]: [Float64Array[], Float64Array[]] = [[], []];
  const [alphas, betas]: [number[], number[]] = [[], []];
  let draws = 0;
  const fresh = (length: number, basis: Vectors) => {
    const drawn = Float64Array.from({ length }, (_, index) => normals(draws, index));
    draws++;
    return unitOrNull(drawn, basis, 0) ?? new Float64Array(length);
  };
  let largest = 0;
  /** The direction of `vector` outside of `basis`, its length, or a new one of length 0 where nothing is left. */
  const next = (vector: Float64Array, basis: Vectors): [Float64Array, number] => {
    orthogonalise(vector, basis);
    const length = Math.sqrt(dot(vector, vector));
    largest = Math.max(largest, length);
    if (length <= EXHAUSTED * largest) return [fresh(vector.length, basis), 0];
    scaleBy(vector, 1 / length);
    return [vector, length];
  };
  let v = fresh(columns, []);
  let checkAt = Math.min(limit, Math.max(2 * rank, rank + 16));
  for (;;) {
    vs.push(v);
    const [u, alpha] = next(times(matrix, [v])[0]!, us);
    us.push(u);
    alphas.push(alpha);
    const steps = us.length;
    const [following, beta] = steps === limit && columns === limit
      ? [v, 0]
      : next(transposedTimes(matrix, [u])[0]!, vs);
    const isExhausted = steps === limit;
    if (isExhausted) {
      // All of the left space is there, and this is the rest of the right one.
      betas.push(beta);
      vs.push(following);
    }
    if (isExhausted || (steps >= checkAt && hasConverged(alphas, betas, beta, rank))) {
      return { ...tripletsOf(us, vs, alphas, betas, rank), steps };
    }
    if (steps >= checkAt) checkAt = Math.min(limit, Math.ceil(steps * 1.15));
    betas.push(beta);
    v = following;
  }
}

function unitOrNull(vector: Float64Array, basis: Vectors, least: number): Float64Array | null {
  orthogonalise(vector, basis);
  const length = Math.sqrt(dot(vector, vector));
  if (length <= least) return null;
  scaleBy(vector, 1 / length);
  return vector;
}

/** B·Bᵀ of the bidiagonal matrix with `alphas` in its diagonal and `betas` above. */
function squared(alphas: readonly number[], betas: readonly number[]) {
  const diagonal = Float64Array.from(
    alphas,
    (alpha, at) => alpha * alpha + (betas[at] ?? 0) * (betas[at] ?? 0),
  );
  const beside = Float64Array.from(betas.slice(0, alphas.length - 1), (beta, at) => beta * alphas[at + 1]!);
  return { diagonal, beside };
}

/** What the weight adds outside of the space to a pair is `beta` times the last number of its left vector. */
function hasConverged(
  alphas: readonly number[],
  betas: readonly number[],
  beta: number,
  rank: number,
): boolean {
  const { diagonal, beside } = squared(alphas, betas);
  const last = new Float64Array(diagonal.length);
  last[last.length - 1] = 1;
  tridiagonalEigen(diagonal, beside, [last]);
  const order = descending(diagonal);
  const largest = Math.sqrt(Math.max(diagonal[order[0]!]!, 0));
  return order.slice(0, rank).every((at) => Math.abs(beta * last[at]!) <= CONVERGED * largest);
}

const descending = (values: Float64Array) =>
  Array.from(values, (_, at) => at).sort((a, b) => values[b]! - values[a]! || a - b);

function tripletsOf(
  us: Vectors,
  vs: Vectors,
  alphas: readonly number[],
  betas: readonly number[],
  rank: number,
): Singular {
  const { diagonal, beside } = squared(alphas, betas);
  const rows = unitVectors(diagonal.length);
  tridiagonalEigen(diagonal, beside, rows);
  const order = descending(diagonal).slice(0, rank);
  const values = order.map((at) => Math.sqrt(Math.max(diagonal[at]!, 0)));
  const left = order.map((at) => combine(us, rows.map((row) => row[at]!), us[0]!.length));
  const right = order.map((at, index) => {
    const value = values[index]!;
    // Bᵀ·p / σ
    const weights = vs.map((_, k) => {
      const own = k === alphas.length ? 0 : alphas[k]! * rows[k]![at]!;
      const before = k === 0 ? 0 : betas[k - 1]! * rows[k - 1]![at]!;
      return value === 0 ? 0 : (own + before) / value;
    });
    return combine(vs, weights, vs[0]!.length);
  });
  return { values, left, right };
}
