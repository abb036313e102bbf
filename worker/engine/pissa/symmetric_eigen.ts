/** Eigenvalues and eigenvectors of a symmetric tridiagonal matrix, by QL with implicit shifts (EISPACK's tql2). */

const EPSILON = 2 ** -52;
const MAX_SWEEPS = 60;

/**
 * @param diagonal [k]; becomes the eigenvalues, in no order
 * @param beside [k − 1] beside the diagonal
 * @param rows vectors [k], in place: each times the matrix of eigenvectors. The unit vectors give the eigenvectors' rows.
 */
export function tridiagonalEigen(
  diagonal: Float64Array,
  beside: Float64Array,
  rows: readonly Float64Array[],
): void {
  const count = diagonal.length;
  const e = new Float64Array(count);
  e.set(beside);
  for (let low = 0; low < count; low++) {
    for (let sweep = 0;; sweep++) {
      const end = splitFrom(diagonal, e, low);
      if (end === low || sweep === MAX_SWEEPS) break;
      chase(diagonal, e, low, end, rows);
    }
  }
}

/** The end of the block that begins at `low`: the first place behind which the matrix falls apart. */
function splitFrom(d: Float64Array, e: Float64Array, low: number): number {
  for (let at = low; at + 1 < d.length; at++) {
    const size = Math.abs(d[at]!) + Math.abs(d[at + 1]!);
    if (Math.abs(e[at]!) <= EPSILON * size) return at;
  }
  return d.length - 1;
}

/** One QL step on the block [low, end]. */
function chase(
  d: Float64Array,
  e: Float64Array,
  low: number,
  end: number,
  rows: readonly Float64Array[],
): void {
  const ratio = (d[low + 1]! - d[low]!) / (2 * e[low]!);
  const root = lengthOf(ratio, 1);
  let g = d[end]! - d[low]! + e[low]! / (ratio + (ratio >= 0 ? root : -root));
  let [sine, cosine, p] = [1, 1, 0];
  for (let i = end - 1; i >= low; i--) {
    const f = sine * e[i]!;
    const b = cosine * e[i]!;
    const length = lengthOf(f, g);
    e[i + 1] = length;
    if (length === 0) {
      d[i + 1] = d[i + 1]! - p;
      e[end] = 0;
      return;
    }
    sine = f / length;
    cosine = g / length;
    g = d[i + 1]! - p;
    const turned = (d[i]! - g) * sine + 2 * cosine * b;
    p = sine * turned;
    d[i + 1] = g + p;
    g = cosine * turned - b;
    rotate(rows, i, sine, cosine);
  }
  d[low] = d[low]! - p;
  e[low] = g;
  e[end] = 0;
}

function rotate(rows: readonly Float64Array[], i: number, sine: number, cosine: number): void {
  for (const row of rows) {
    const [left, right] = [row[i]!, row[i + 1]!];
    row[i + 1] = sine * left + cosine * right;
    row[i] = cosine * left - sine * right;
  }
}

/** √(a² + b²) without overflow. `Math.hypot` need not have the same bits everywhere. */
function lengthOf(a: number, b: number): number {
  const [x, y] = [Math.abs(a), Math.abs(b)];
  const [large, small] = x > y ? [x, y] : [y, x];
  if (large === 0) return 0;
  const share = small / large;
  return large * Math.sqrt(1 + share * share);
}
