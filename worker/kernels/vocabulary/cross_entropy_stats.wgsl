// One vocabulary chunk of the cross entropy's running log-sum-exp. logits [rows, columns] are the chunk's; stats [rows, 3] holds
// each row's running maximum, its Σ exp(logit − maximum), and its label's logit once the chunk with the label has passed. With
// smoothed labels the third is the target's mean logit, peak · logit of the label + rest · Σ logits.
//
// One workgroup per row, summed in a fixed tree. Chunks come in ascending order; the first one starts the stats.

const LANES = 64u;
var<workgroup> partial: array<f32, LANES>;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) part: vec3u, @builtin(local_invocation_index) lane: u32) {
  let group = group_of(part);
  let row = group.x;
  let start = row * params.columns;
  let lowest = -3.4028234e38;

  var largest = lowest;
  for (var column = lane; column < params.columns; column += LANES) {
    largest = max(largest, logits[start + column]);
  }
  partial[lane] = largest;
  workgroupBarrier();
  for (var half = LANES / 2u; half > 0u; half /= 2u) {
    if (lane < half) { partial[lane] = max(partial[lane], partial[lane + half]); }
    workgroupBarrier();
  }
  let chunkMaximum = partial[0];
  workgroupBarrier();

  var sum = 0.0;
  for (var column = lane; column < params.columns; column += LANES) {
    sum += exp(logits[start + column] - chunkMaximum);
  }
  partial[lane] = sum;
  workgroupBarrier();
  for (var half = LANES / 2u; half > 0u; half /= 2u) {
    if (lane < half) { partial[lane] += partial[lane + half]; }
    workgroupBarrier();
  }

//! if SMOOTHED
  let exponentials = partial[0];
  workgroupBarrier();
  var plain = 0.0;
  for (var column = lane; column < params.columns; column += LANES) {
    plain += logits[start + column];
  }
  partial[lane] = plain;
  workgroupBarrier();
  for (var half = LANES / 2u; half > 0u; half /= 2u) {
    if (lane < half) { partial[lane] += partial[lane + half]; }
    workgroupBarrier();
  }
//! end
//! if !SMOOTHED
  let exponentials = partial[0];
//! end

  if (lane == 0u) {
    let first = params.firstColumn == 0u;
    let before = select(stats[row * 3u], lowest, first);
    let sumBefore = select(stats[row * 3u + 1u], 0.0, first);
    let maximum = max(before, chunkMaximum);
    stats[row * 3u] = maximum;
    stats[row * 3u + 1u] = sumBefore * exp(before - maximum) + exponentials * exp(chunkMaximum - maximum);
    let labelColumn = labels[row] - params.firstColumn;
//! if SMOOTHED
    let atLabel = select(0.0, logits[start + min(labelColumn, params.columns - 1u)], labelColumn < params.columns);
    stats[row * 3u + 2u] = select(stats[row * 3u + 2u], 0.0, first) + params.peak * atLabel + params.rest * partial[0];
//! end
//! if !SMOOTHED
    if (labelColumn < params.columns) { stats[row * 3u + 2u] = logits[start + labelColumn]; }
//! end
  }
}
