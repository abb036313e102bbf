// loss[0] = Σ over rows of log Σ exp(logits) − logit of the label, from stats [rows, 3] of cross_entropy_stats.wgsl; loss[1] = the
// rows whose label has the largest logit, exact up to 2^24, and of no meaning with smoothed labels; each row by its weight, if there
// are weights. One workgroup: every lane adds every 256th row, then a fixed tree.

const LANES = 256u;
var<workgroup> partial: array<f32, LANES>;
//! if WEIGHTED
var<workgroup> hits: array<f32, LANES>;
//! end
//! if !WEIGHTED
var<workgroup> hits: array<u32, LANES>;
//! end

@compute @workgroup_size(LANES)
fn main(@builtin(local_invocation_index) lane: u32) {
  var sum = 0.0;
//! if WEIGHTED
  var hitCount = 0.0;
//! end
//! if !WEIGHTED
  var hitCount = 0u;
//! end
  for (var row = lane; row < params.rows; row += LANES) {
//! if WEIGHTED
    sum += weights[row] * (stats[row * 3u] + log(stats[row * 3u + 1u]) - stats[row * 3u + 2u]);
    hitCount += select(0.0, weights[row], stats[row * 3u + 2u] == stats[row * 3u]);
//! end
//! if !WEIGHTED
    sum += stats[row * 3u] + log(stats[row * 3u + 1u]) - stats[row * 3u + 2u];
    hitCount += select(0u, 1u, stats[row * 3u + 2u] == stats[row * 3u]);
//! end
  }
  partial[lane] = sum;
  hits[lane] = hitCount;
  workgroupBarrier();
  for (var half = LANES / 2u; half > 0u; half /= 2u) {
    if (lane < half) {
      partial[lane] += partial[lane + half];
      hits[lane] += hits[lane + half];
    }
    workgroupBarrier();
  }
  if (lane == 0u) {
    loss[0] = partial[0];
    loss[1] = f32(hits[0]);
  }
}
