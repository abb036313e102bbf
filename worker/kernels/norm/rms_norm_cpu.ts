/** RMSNorm in f64, in plain loops: the reference of the kernels. */

/** y and rstd of x [rows, columns]. */
export function rmsNormCpu(
  x: ArrayLike<number>,
  weight: ArrayLike<number>,
  columns: number,
  epsilon: number,
) {
  const rows = x.length / columns;
  const y = new Float64Array(x.length);
  const rstd = new Float64Array(rows);
  for (let row = 0; row < rows; row++) {
    let sum = 0;
    for (let column = 0; column < columns; column++) sum += x[row * columns + column]! ** 2;
    rstd[row] = 1 / Math.sqrt(sum / columns + epsilon);
    for (let column = 0; column < columns; column++) {
      y[row * columns + column] = x[row * columns + column]! * rstd[row]! * weight[column]!;
    }
  }
  return { y, rstd };
}

/** The gradient of x from the gradient dy of y. */
export function rmsNormBackwardCpu(
  x: ArrayLike<number>,
  weight: ArrayLike<number>,
  dy: ArrayLike<number>,
  columns: number,
  epsilon: number,
): Float64Array {
  const { rstd } = rmsNormCpu(x, weight, columns, epsilon);
  const dx = new Float64Array(x.length);
  for (let row = 0; row < rstd.length; row++) {
    let dot = 0;
    for (let column = 0; column < columns; column++) {
      const at = row * columns + column;
      dot += dy[at]! * weight[column]! * x[at]!;
    }
    for (let column = 0; column < columns; column++) {
      const at = row * columns + column;
      dx[at] = rstd[row]! * (dy[at]! * weight[column]! - x[at]! * rstd[row]! ** 2 * dot / columns);
    }
  }
  return dx;
}
