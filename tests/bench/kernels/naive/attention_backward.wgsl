// Attention backward. With KEYS, dk and dv: one thread per key and key–value head, over the queries that see the key.
// Without, dq: one thread per query and head, over its keys.

/** The probability of a query's key, and the gradient of its score. */
fn weights(row: u32, keyRow: u32, logSum: f32) -> vec2f {
  var dot = 0.0;
  var dp = 0.0;
  var delta = 0.0;
  for (var c = 0u; c < HEAD_DIM; c++) {
    dot += q[row * HEAD_DIM + c] * k[keyRow * HEAD_DIM + c];
    dp += dOut[row * HEAD_DIM + c] * v[keyRow * HEAD_DIM + c];
    delta += dOut[row * HEAD_DIM + c] * out[row * HEAD_DIM + c];
  }
  let p = exp(params.scale * dot - logSum);
  return vec2f(p, params.scale * p * (dp - delta));
}

//! if KEYS
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let key = id.x / params.kvHeadCount;
  if (key >= params.tokenCount) { return; }
  let headsOfGroup = params.headCount / params.kvHeadCount;
  let firstHead = id.x % params.kvHeadCount * headsOfGroup;
  for (var c = 0u; c < HEAD_DIM; c++) {
    dk[id.x * HEAD_DIM + c] = 0.0;
    dv[id.x * HEAD_DIM + c] = 0.0;
  }
  for (var head = firstHead; head < firstHead + headsOfGroup; head++) {
    for (var query = key; query < bounds[key]; query++) {
      let row = query * params.headCount + head;
      let pair = weights(row, id.x, lse[head * params.tokenCount + query]);
      for (var c = 0u; c < HEAD_DIM; c++) {
        dv[id.x * HEAD_DIM + c] += pair.x * dOut[row * HEAD_DIM + c];
        dk[id.x * HEAD_DIM + c] += pair.y * q[row * HEAD_DIM + c];
      }
    }
  }
}
//! end
//! if !KEYS
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let query = id.x / params.headCount;
  if (query >= params.tokenCount) { return; }
  let head = id.x % params.headCount;
  let keyHead = head / (params.headCount / params.kvHeadCount);
  for (var c = 0u; c < HEAD_DIM; c++) { dq[id.x * HEAD_DIM + c] = 0.0; }
  for (var key = bounds[query]; key <= query; key++) {
    let keyRow = key * params.kvHeadCount + keyHead;
    let pair = weights(id.x, keyRow, lse[head * params.tokenCount + query]);
    for (var c = 0u; c < HEAD_DIM; c++) { dq[id.x * HEAD_DIM + c] += pair.y * k[keyRow * HEAD_DIM + c]; }
  }
}
//! end
