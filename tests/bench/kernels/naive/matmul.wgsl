// The textbook product: one thread per element, its sum straight from storage.

@compute @workgroup_size(8, 8)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.y >= params.m || id.x >= params.n) { return; }
  var sum = 0.0;
  for (var i = 0u; i < params.k; i++) {
//! if A_ALONG_K
    let left = a[id.y * params.k + i];
//! end
//! if !A_ALONG_K
    let left = a[i * params.m + id.y];
//! end
//! if B_ALONG_K
    sum += left * b[id.x * params.k + i];
//! end
//! if !B_ALONG_K
    sum += left * b[i * params.n + id.x];
//! end
  }
  out[id.y * params.n + id.x] = sum;
}
