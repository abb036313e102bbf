/** Cross entropy in f64: the reference of the kernels. */

/** The summed loss of logits [rows, columns] and its gradient; with a soft cap, logits z count as c · tanh(z / c). */
export function crossEntropyCpu(
  uncapped: ArrayLike<number>,
  labels: ArrayLike<number>,
  columns: number,
  softCap: number | null = null,
) {
  const logits = Float64Array.from(uncapped, (z) => softCap === null ? z : softCap * Math.tanh(z / softCap));
  const gradient = new Float64Array(logits.length);
  let loss = 0;
  for (let row = 0; row < labels.length; row++) {
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
      gradient[at] = (Math.exp(logits[at]! - maximum) / sum - Number(column === labels[row])) * slope;
    }
    loss += maximum + Math.log(sum) - logits[row * columns + labels[row]!]!;
  }
  return { loss, gradient };
}
