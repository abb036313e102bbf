// Attention forward, one thread per query and head: three walks over its keys, for the maximum, the sum and the result.

fn score(row: u32, keyRow: u32) -> f32 {
  var dot = 0.0;
  for (var c = 0u; c < HEAD_DIM; c++) { dot += q[row * HEAD_DIM + c] * k[keyRow * HEAD_DIM + c]; }
  return params.scale * dot;
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let query = id.x / params.headCount;
  let head = id.x % params.headCount;
  if (query >= params.tokenCount) { return; }
  let keyHead = head / (params.headCount / params.kvHeadCount);
  var largest = -3e38;
  for (var key = keyStarts[query]; key <= query; key++) {
    largest = max(largest, score(id.x, key * params.kvHeadCount + keyHead));
  }
  var sum = 0.0;
  for (var key = keyStarts[query]; key <= query; key++) {
    sum += exp(score(id.x, key * params.kvHeadCount + keyHead) - largest);
  }
  for (var c = 0u; c < HEAD_DIM; c++) { out[id.x * HEAD_DIM + c] = 0.0; }
  for (var key = keyStarts[query]; key <= query; key++) {
    let keyRow = key * params.kvHeadCount + keyHead;
    let p = exp(score(id.x, keyRow) - largest) / sum;
    for (var c = 0u; c < HEAD_DIM; c++) { out[id.x * HEAD_DIM + c] += p * v[keyRow * HEAD_DIM + c]; }
  }
}
