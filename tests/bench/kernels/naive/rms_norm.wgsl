// RMSNorm, one thread per row.

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= params.rows) { return; }
  let start = id.x * params.columns;
  var sum = 0.0;
  for (var i = 0u; i < params.columns; i++) { sum += x[start + i] * x[start + i]; }
  let scale = 1.0 / sqrt(sum / f32(params.columns) + params.epsilon);
  for (var i = 0u; i < params.columns; i++) { y[start + i] = x[start + i] * scale * weight[i]; }
}
