/** Cross entropy in f64: the reference of the kernels. */

/**
 * The summed loss of logits [rows, columns] and its gradient; with a soft cap, logits z count as c · tanh(z / c).
 * `hits`: rows whose label has the largest logit, each by its weight; not counted with smoothed labels.
 * @param weights of the rows in the loss; null: all 1
 * @param smoothing the share of the target's probability that is spread over all columns
 */
export function crossEntropyCpu(
  uncapped: ArrayLike<number>,
  labels: ArrayLike<number>,
  columns: number,
  softCap: number | null = null,
  smoothing = 0,
  weights: ArrayLike<number> | null = null,
) {
  const logits = Float64Array.from(uncapped, (z) => softCap === null ? z : softCap * Math.tanh(z / softCap));
  const gradient = new Float64Array(logits.length);
  let loss = 0;
  let hits = 0;
  for (let row = 0; row < labels.length; row++) {
    const weight = weights?.[row] ?? 1;
    let maximum = -Infinity;
    for (let column = 0; column < columns; column++) {
      maximum = Math.max(maximum, logits[row * columns + column]!);
    }
    let sum = 0;
    for (let column = 0; column < columns; column++) {
      sum += Math.exp(logits[row * columns + column]! - maximum);
    }
    for (let column = 0; column < columns; column++) {
      const at = row * columns + column;
      const slope = softCap === null ? 1 : 1 - (logits[at]! / softCap) ** 2;
      const target = smoothing / columns + (column === labels[row] ? 1 - smoothing : 0);
      gradient[at] = (Math.exp(logits[at]! - maximum) / sum - target) * slope * weight;
      loss -= weight * target * logits[at]!;
    }
    hits += weight * Number(smoothing === 0 && logits[row * columns + labels[row]!] === maximum);
    loss += weight * (maximum + Math.log(sum));
  }
  return { loss, hits, gradient };
}
