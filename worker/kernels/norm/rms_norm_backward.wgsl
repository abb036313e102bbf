// Backward of RMSNorm with respect to its input; the weight is frozen.
//
//   dx += rstd · (g − x · rstd² · mean(g · x)),   g = dy · weight
//
// Adds to dx: the residual stream's gradient is already there. One workgroup of LANES per row, summed in a fixed tree.

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
    sum += dy[start + column] * weight[column] * x[start + column];
  }
  partial[lane] = sum;
  workgroupBarrier();
  for (var half = LANES / 2u; half > 0u; half /= 2u) {
    if (lane < half) { partial[lane] += partial[lane + half]; }
    workgroupBarrier();
  }
  let scale = rstd[row];
  let pull = partial[0] / f32(params.columns) * scale * scale;
  for (var column = lane; column < params.columns; column += LANES) {
    let at = start + column;
    dx[at] += scale * (dy[at] * weight[column] - x[at] * pull);
  }
}
