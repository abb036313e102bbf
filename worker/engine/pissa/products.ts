/**
 * Products of a weight with a few vectors, in f64. Every sum is taken in one fixed order and nothing is fused, so that all
 * machines get the same bits: JavaScript's +, −, ·, / and √ are IEEE 754's.
 */

/** A weight [rows, columns] in f32, row by row. */
export interface Matrix {
  readonly rows: number;
  readonly columns: number;
  readonly values: Float32Array;
}

/** Vectors of one length. */
export type Vectors = readonly Float64Array[];

/** W · x for each x [columns]: vectors [rows]. */
export function times(matrix: Matrix, xs: Vectors): Float64Array[] {
  const ys = xs.map(() => new Float64Array(matrix.rows));
  let from = 0;
  for (; from + 4 <= xs.length; from += 4) timesFour(matrix, fourOf(xs, from), fourOf(ys, from));
  for (; from < xs.length; from++) timesOne(matrix, xs[from]!, ys[from]!);
  return ys;
}

/** Wᵀ · y for each y [rows]: vectors [columns]. */
export function transposedTimes(matrix: Matrix, ys: Vectors): Float64Array[] {
  const xs = ys.map(() => new Float64Array(matrix.columns));
  const whole = matrix.rows - matrix.rows % 4;
  for (let row = 0; row < whole; row += 4) {
    let from = 0;
    for (; from + 2 <= ys.length; from += 2) {
      addToTwo(matrix, row, ys[from]!, ys[from + 1]!, xs[from]!, xs[from + 1]!);
    }
    if (from < ys.length) addToOne(matrix, row, ys[from]!, xs[from]!);
  }
  for (let row = whole; row < matrix.rows; row++) addRow(matrix, row, ys, xs);
  return xs;
}

type Four = readonly [Float64Array, Float64Array, Float64Array, Float64Array];

const fourOf = (vectors: Vectors, from: number): Four => [
  vectors[from]!,
  vectors[from + 1]!,
  vectors[from + 2]!,
  vectors[from + 3]!,
];

function timesFour({ rows, columns, values }: Matrix, [x0, x1, x2, x3]: Four, [y0, y1, y2, y3]: Four): void {
  for (let row = 0; row < rows; row++) {
    const start = row * columns;
    let [s0, s1, s2, s3] = [0, 0, 0, 0];
    for (let j = 0; j < columns; j++) {
      const w = values[start + j]!;
      s0 += w * x0[j]!;
      s1 += w * x1[j]!;
      s2 += w * x2[j]!;
      s3 += w * x3[j]!;
    }
    y0[row] = s0;
    y1[row] = s1;
    y2[row] = s2;
    y3[row] = s3;
  }
}

/** Each row's sum in the order of `timesFour`, four rows at a time. */
function timesOne({ rows, columns, values }: Matrix, x: Float64Array, y: Float64Array): void {
  let row = 0;
  for (; row + 4 <= rows; row += 4) {
    const at0 = row * columns;
    const [at1, at2, at3] = [at0 + columns, at0 + 2 * columns, at0 + 3 * columns];
    let [s0, s1, s2, s3] = [0, 0, 0, 0];
    for (let j = 0; j < columns; j++) {
      const factor = x[j]!;
      s0 += factor * values[at0 + j]!;
      s1 += factor * values[at1 + j]!;
      s2 += factor * values[at2 + j]!;
      s3 += factor * values[at3 + j]!;
    }
    y[row] = s0;
    y[row + 1] = s1;
    y[row + 2] = s2;
    y[row + 3] = s3;
  }
  for (; row < rows; row++) {
    let sum = 0;
    for (let j = 0; j < columns; j++) sum += x[j]! * values[row * columns + j]!;
    y[row] = sum;
  }
}

/** x += four rows of W, each times its number in y. */
function addToOne({ columns, values }: Matrix, row: number, y: Float64Array, x: Float64Array): void {
  const [f0, f1, f2, f3] = [y[row]!, y[row + 1]!, y[row + 2]!, y[row + 3]!];
  const at0 = row * columns;
  const [at1, at2, at3] = [at0 + columns, at0 + 2 * columns, at0 + 3 * columns];
  for (let j = 0; j < columns; j++) {
    x[j] = x[j]! +
      (f0 * values[at0 + j]! + f1 * values[at1 + j]! + f2 * values[at2 + j]! + f3 * values[at3 + j]!);
  }
}

function addToTwo(
  { columns, values }: Matrix,
  row: number,
  y: Float64Array,
  z: Float64Array,
  x: Float64Array,
  t: Float64Array,
): void {
  const [f0, f1, f2, f3] = [y[row]!, y[row + 1]!, y[row + 2]!, y[row + 3]!];
  const [g0, g1, g2, g3] = [z[row]!, z[row + 1]!, z[row + 2]!, z[row + 3]!];
  const at0 = row * columns;
  const [at1, at2, at3] = [at0 + columns, at0 + 2 * columns, at0 + 3 * columns];
  for (let j = 0; j < columns; j++) {
    const [w0, w1, w2, w3] = [values[at0 + j]!, values[at1 + j]!, values[at2 + j]!, values[at3 + j]!];
    x[j] = x[j]! + (f0 * w0 + f1 * w1 + f2 * w2 + f3 * w3);
    t[j] = t[j]! + (g0 * w0 + g1 * w1 + g2 * w2 + g3 * w3);
  }
}

function addRow({ columns, values }: Matrix, row: number, ys: Vectors, xs: Vectors): void {
  const start = row * columns;
  xs.forEach((x, at) => {
    const factor = ys[at]![row]!;
    for (let j = 0; j < columns; j++) x[j] = x[j]! + factor * values[start + j]!;
  });
}

export function dot(a: Float64Array, b: Float64Array): number {
  let [s0, s1, s2, s3] = [0, 0, 0, 0];
  const whole = a.length - a.length % 4;
  for (let i = 0; i < whole; i += 4) {
    s0 += a[i]! * b[i]!;
    s1 += a[i + 1]! * b[i + 1]!;
    s2 += a[i + 2]! * b[i + 2]!;
    s3 += a[i + 3]! * b[i + 3]!;
  }
  for (let i = whole; i < a.length; i++) s0 += a[i]! * b[i]!;
  return (s0 + s1) + (s2 + s3);
}

/** y += factor · x */
export function addTo(y: Float64Array, factor: number, x: Float64Array): void {
  for (let i = 0; i < y.length; i++) y[i] = y[i]! + factor * x[i]!;
}

export function scaleBy(x: Float64Array, factor: number): void {
  for (let i = 0; i < x.length; i++) x[i] = x[i]! * factor;
}

/** Σ weights[i] · vectors[i], in the order of the vectors. */
export function combine(vectors: Vectors, weights: ArrayLike<number>, length: number): Float64Array {
  const sum = new Float64Array(length);
  vectors.forEach((vector, i) => addTo(sum, weights[i]!, vector));
  return sum;
}
