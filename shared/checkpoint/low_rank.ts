/** A product of two thin matrices that is taken from a weight before it is quantised. */
export interface LowRank {
  readonly rank: number;
  readonly scale: number;
  /** [rank, inFeatures] */
  readonly a: Float32Array;
  /** [outFeatures, rank] */
  readonly b: Float32Array;
  readonly inFeatures: number;
}

/**
 * Subtracts scale · B · A from a weight [out, in], or from a piece of it, in place. Sums are taken in f64 in the order of the rank and
 * rounded to f32 once, so that every machine gets the same bits, however the weight is cut.
 * @param first the piece's first number in the whole, row by row
 */
export function subtractStart(values: Float32Array, start: LowRank, first = 0): void {
  const { rank, scale, a, b, inFeatures } = start;
  const sums = new Float64Array(inFeatures);
  for (let at = 0; at < values.length;) {
    const row = Math.floor((first + at) / inFeatures);
    const column = first + at - row * inFeatures;
    const count = Math.min(inFeatures - column, values.length - at);
    sums.fill(0);
    for (let k = 0; k < rank; k++) {
      const factor = b[row * rank + k]!;
      const from = k * inFeatures + column;
      for (let j = 0; j < count; j++) sums[j] = sums[j]! + factor * a[from + j]!;
    }
    for (let j = 0; j < count; j++) values[at + j] = values[at + j]! - scale * sums[j]!;
    at += count;
  }
}
