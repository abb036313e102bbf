// Flash attention, forward, one query of one head an invocation: q and out stay in registers, keys pass by once.
//
// All invocations of a workgroup read the same key at the same time, so that a read serves them all, and nothing goes
// through workgroup memory. A workgroup walks over the union of its queries' key ranges, KEYS at a time; ranges are
// merged where they touch, so that neither another document's keys nor a cache's gaps cost anything.
//
// The online softmax is exact about powers of two. With s the score in base 2 (q carries scale · log2 e),
// 2^s = 2^(s − ⌊s⌋) · 2^⌊s⌋, and the running maximum `top` is the largest ⌊s⌋. Whenever it grows, sums shrink by a power
// of two, which rounds nothing; sums run over keys in ascending order; a key that a query does not see adds an exact 0.
// So the bits of a query's result depend on its own keys alone: not on the tile, KEYS, or the place in the micro-batch.

const LOWEST = -3e38;
const LN_2 = 0.6931471805599453;
const LOG2_E = 1.4426950408889634;

/** 2^x of a whole number x ≤ 0; 0 below the smallest normal number. */
fn power(x: f32) -> f32 { return bitcast<f32>(u32(max(x, -127.0) + 127.0) << 23u); }

var<private> query: u32;
var<private> keyRow: u32;
var<private> start: u32;
var<private> end: u32;
var<private> top: f32;
var<private> sum: f32;
//! for c in 0..HEAD_DIM4
var<private> q_$c: vec4f;
var<private> out_$c: vec4f;
//! end

/** Attends to the keys [first, last). */
fn attend(first: u32, last: u32) {
  for (var j = first; j < last; j += KEYS) {
//! for i in 0..KEYS
    let row_$i = min(j + ${i}u, last - 1u) * params.kvHeadCount + keyRow;
    var s_$i = 0.0;
//! end
//! for c in 0..HEAD_DIM4
//! for i in 0..KEYS
    let k_${i}_${c} = load_k(row_$i, ${c}u);
    s_$i = fma(q_$c.x, k_${i}_${c}.x, s_$i);
    s_$i = fma(q_$c.y, k_${i}_${c}.y, s_$i);
    s_$i = fma(q_$c.z, k_${i}_${c}.z, s_$i);
    s_$i = fma(q_$c.w, k_${i}_${c}.w, s_$i);
//! end
//! end
    var newTop = top;
//! for i in 0..KEYS
    let seen_$i = j + ${i}u >= start && j + ${i}u < min(end, last);
    let whole_$i = floor(s_$i);
    newTop = max(newTop, select(LOWEST, whole_$i, seen_$i));
//! end
    let shrink = power(top - newTop);
    top = newTop;
    sum *= shrink;
//! for i in 0..KEYS
    let p_$i = select(0.0, exp2(s_$i - whole_$i) * power(whole_$i - top), seen_$i);
    sum += p_$i;
//! end
//! for c in 0..HEAD_DIM4
    var sum_$c = out_$c * shrink;
//! for i in 0..KEYS
    sum_$c = fma(vec4f(p_$i), load_v(row_$i, ${c}u), sum_$c);
//! end
    out_$c = sum_$c;
//! end
  }
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let firstQuery = group.x * LANES;
  let lastQuery = min(firstQuery + LANES, params.queryCount) - 1u;
  query = min(firstQuery + lane, lastQuery);
  let head = group.y;
  keyRow = head / (params.headCount / params.kvHeadCount);
  start = keyStarts[query];
  end = keyEnds[query];
  top = LOWEST;
  sum = 0.0;
  let row = query * params.headCount + head;
  let factor = params.scale * LOG2_E;
//! for c in 0..HEAD_DIM4
  q_$c = load_q(row, ${c}u) * factor;
  out_$c = vec4f();
//! end

  var lowest = keyStarts[firstQuery];
  var highest = keyEnds[firstQuery];
  var ascending = true;
  for (var t = firstQuery + 1u; t <= lastQuery; t++) {
    ascending = ascending && keyStarts[t - 1u] <= keyStarts[t];
    lowest = min(lowest, keyStarts[t]);
    highest = max(highest, keyEnds[t]);
  }
  if (ascending) {
    var first = keyStarts[firstQuery];
    var last = keyEnds[firstQuery];
    for (var t = firstQuery + 1u; t <= lastQuery; t++) {
      if (keyStarts[t] > last) {
        attend(first, last);
        first = keyStarts[t];
      }
      last = max(last, keyEnds[t]);
    }
    attend(first, last);
  } else {
    attend(lowest, highest);
  }

  if (firstQuery + lane > lastQuery) { return; }
//! for c in 0..HEAD_DIM4
  store_out(row, ${c}u, out_$c / sum);
//! end
  lse[head * params.queryCount + query] = (top + log2(sum)) * LN_2;
}
