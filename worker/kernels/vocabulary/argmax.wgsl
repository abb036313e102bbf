// The largest logit of each row, over a vocabulary in chunks. logits [rows, columns] are a chunk's; bestLogit and bestColumn [rows]
// hold the largest so far and its column of the vocabulary. Of equal logits the first one wins.
//
// One workgroup per row: each lane takes every 64th column, then a fixed tree. Chunks come in ascending order; the first one
// initialises the result.

const LANES = 64u;
var<workgroup> value: array<f32, LANES>;
var<workgroup> place: array<u32, LANES>;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) part: vec3u, @builtin(local_invocation_index) lane: u32) {
  let group = group_of(part);
  let row = group.x;
  let start = row * params.columns;
  var largest = -3.4028234e38;
  var column = min(lane, params.columns - 1u);
  for (var i = lane; i < params.columns; i += LANES) {
    let logit = logits[start + i];
    if (logit > largest) {
      largest = logit;
      column = i;
    }
  }
  value[lane] = largest;
  place[lane] = column;
  workgroupBarrier();
  for (var half = LANES / 2u; half > 0u; half /= 2u) {
    if (lane < half) {
      let other = value[lane + half];
      let otherPlace = place[lane + half];
      if (other > value[lane] || (other == value[lane] && otherPlace < place[lane])) {
        value[lane] = other;
        place[lane] = otherPlace;
      }
    }
    workgroupBarrier();
  }
  if (lane == 0u && (params.firstColumn == 0u || value[0] > bestLogit[row])) {
    bestLogit[row] = value[0];
    bestColumn[row] = params.firstColumn + place[0];
  }
}
