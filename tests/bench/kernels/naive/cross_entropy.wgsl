// Each row's loss, and in the place of its logits their gradient: one thread per row.

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= params.rows) { return; }
  let start = id.x * params.columns;
  var largest = logits[start];
  for (var i = 1u; i < params.columns; i++) { largest = max(largest, logits[start + i]); }
  var sum = 0.0;
  for (var i = 0u; i < params.columns; i++) { sum += exp(logits[start + i] - largest); }
  loss[id.x] = largest + log(sum) - logits[start + labels[id.x]];
  for (var i = 0u; i < params.columns; i++) {
    logits[start + i] = exp(logits[start + i] - largest) / sum - select(0.0, 1.0, i == labels[id.x]);
  }
}
