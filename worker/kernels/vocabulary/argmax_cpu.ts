/** The reference of argmax.wgsl. */

/** The first of each row's largest values: its index in the row [rows]. */
export function argmaxCpu(values: ArrayLike<number>, columns: number): number[] {
  return Array.from({ length: values.length / columns }, (_, row) => {
    let best = 0;
    for (let i = 1; i < columns; i++) {
      if (values[row * columns + i]! > values[row * columns + best]!) best = i;
    }
    return best;
  });
}
