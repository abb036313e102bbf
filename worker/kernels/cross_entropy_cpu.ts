/** Cross entropy in f64: what the kernels are checked against. */

/** The summed loss of logits [rows, columns] and its gradient. */
export function crossEntropyCpu(logits: ArrayLike<number>, labels: ArrayLike<number>, columns: number) {
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
      gradient[at] = Math.exp(logits[at]! - maximum) / sum - Number(column === labels[row]);
    }
    loss += maximum + Math.log(sum) - logits[row * columns + labels[row]!]!;
  }
  return { loss, gradient };
}
