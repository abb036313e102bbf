// RMSNorm over rows of `columns` values: y = x · rstd · weight, rstd = 1/√(mean(x²) + epsilon); y += with ACCUMULATE.
//
// One workgroup of LANES per row. Each lane adds every LANESth square, then the workgroup adds the lanes' sums in a fixed tree, so
// that the same row gives the same bits wherever it lies in the micro-batch. rstd [rows] is kept for the backward pass.

var<workgroup> partial: array<f32, LANES>;

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = group.y * groups.x + group.x;
  if (row >= params.rows) { return; }
  let start = row * params.columns;
  var sum = 0.0;
  for (var column = lane; column < params.columns; column += LANES) {
    let value = x[start + column];
    sum += value * value;
  }
  partial[lane] = sum;
  workgroupBarrier();
  for (var half = LANES / 2u; half > 0u; half /= 2u) {
    if (lane < half) { partial[lane] += partial[lane + half]; }
    workgroupBarrier();
  }
  let scale = 1.0 / sqrt(partial[0] / f32(params.columns) + params.epsilon);
  if (lane == 0u) { rstd[row] = scale; }
  for (var column = lane; column < params.columns; column += LANES) {
//! if ACCUMULATE
    y[start + column] += x[start + column] * scale * weight[column];
//! end
//! if !ACCUMULATE
    y[start + column] = x[start + column] * scale * weight[column];
//! end
  }
}
