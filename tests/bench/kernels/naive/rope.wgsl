// Rotary position embedding in place, one thread per row.

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= params.rows) { return; }
  for (var head = 0u; head < params.headCount; head++) {
    for (var i = 0u; i < params.half; i++) {
      let angle = positions[id.x] * params.half + i;
      let at = (id.x * params.headCount + head) * 2u * params.half + i;
      let low = x[at];
      let high = x[at + params.half];
      x[at] = low * cos_table[angle] - high * sin_table[angle];
      x[at + params.half] = high * cos_table[angle] + low * sin_table[angle];
    }
  }
}
