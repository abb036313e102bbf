// Flash attention, forward, for narrow heads: QUERIES neighbouring queries of one head per invocation. Their q and out
// stay in registers, and each key and value that is read serves all of them. Nothing goes through workgroup memory.
//
// HEADS_INSIDE: neighbouring invocations have the heads of the same queries and walk over equally many keys, which suits
// processors that compute them as one vector; else they have neighbouring queries, which read the same keys.
//
// The online softmax is exact about powers of two. With s the score in base 2 (q carries scale · log2 e),
// 2^s = 2^(s − ⌊s⌋) · 2^⌊s⌋, and the running maximum `top` is the largest ⌊s⌋. Whenever it grows, sums shrink by a power
// of two, which rounds nothing; sums run over keys in ascending order; a key that a query does not see adds an exact 0.
// So the bits of a query's result depend on its own keys alone, not on its neighbours or its place in the micro-batch.
//
// SOFT_CAP, unless 0: scores s become c · tanh(s / c), so that q carries scale / c.

const LOWEST = -3e38;
const LN_2 = 0.6931471805599453;
const LOG2_E = 1.4426950408889634;

/** 2^x of a whole number x ≤ 0; 0 below the smallest normal number. */
fn power(x: f32) -> f32 { return bitcast<f32>(u32(max(x, -127.0) + 127.0) << 23u); }

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) part: vec3u, @builtin(local_invocation_index) lane: u32) {
  let group = group_of(part);
  let index = group.x * LANES + lane;
//! if HEADS_INSIDE
  let head = index % params.headCount;
  let query = index / params.headCount * QUERIES;
//! end
//! if !HEADS_INSIDE
  let parts = (params.queryCount + QUERIES - 1u) / QUERIES;
  let head = index / parts;
  let query = index % parts * QUERIES;
//! end
  if (query >= params.queryCount || head >= params.headCount) { return; }
  let keyHead = head / (params.headCount / params.kvHeadCount);
//! if SOFT_CAP
  let factor = params.scale / f32(SOFT_CAP);
//! end
//! if !SOFT_CAP
  let factor = params.scale * LOG2_E;
//! end
  var next = 0xffffffffu;
//! for i in 0..QUERIES
  // Queries behind the last one see no keys.
  let start_$i = select(0xffffffffu, keyStarts[query + ${i}u], query + ${i}u < params.queryCount);
  let end_$i = select(0u, keyEnds[query + ${i}u], query + ${i}u < params.queryCount);
  next = min(next, start_$i);
  let row_$i = min(query + ${i}u, params.queryCount - 1u) * params.headCount + head;
  var top_$i = LOWEST;
  var sum_$i = 0.0;
//! for c in 0..HEAD_DIM4
  let q_${i}_${c} = load_q(row_$i, ${c}u) * factor;
  var out_${i}_${c} = vec4f();
//! end
//! end

  while (next != 0xffffffffu) {
    let key = next;
    let keyRow = key * params.kvHeadCount + keyHead;
//! for i in 0..QUERIES
    var s_$i = 0.0;
//! end
//! for c in 0..HEAD_DIM4
    let k_$c = load_k(keyRow, ${c}u);
//! for i in 0..QUERIES
    s_$i = fma(q_${i}_${c}.x, k_$c.x, s_$i);
    s_$i = fma(q_${i}_${c}.y, k_$c.y, s_$i);
    s_$i = fma(q_${i}_${c}.z, k_$c.z, s_$i);
    s_$i = fma(q_${i}_${c}.w, k_$c.w, s_$i);
//! end
//! end
//! for i in 0..QUERIES
//! if SOFT_CAP
    s_$i = tanh_of(s_$i) * (f32(SOFT_CAP) * LOG2_E);
//! end
    let seen_$i = key >= start_$i && key < end_$i;
    let whole_$i = floor(s_$i);
    let newTop_$i = max(top_$i, select(LOWEST, whole_$i, seen_$i));
    let shrink_$i = power(top_$i - newTop_$i);
    top_$i = newTop_$i;
    let p_$i = select(0.0, exp2(s_$i - whole_$i) * power(whole_$i - newTop_$i), seen_$i);
    sum_$i = sum_$i * shrink_$i + p_$i;
//! end
//! for c in 0..HEAD_DIM4
    let v_$c = load_v(keyRow, ${c}u);
//! for i in 0..QUERIES
    out_${i}_${c} = fma(vec4f(p_$i), v_$c, out_${i}_${c} * shrink_$i);
//! end
//! end
    // The next key that any of the queries sees.
    next = 0xffffffffu;
//! for i in 0..QUERIES
    next = min(next, select(0xffffffffu, max(start_$i, key + 1u), key + 1u < end_$i));
//! end
  }

//! for i in 0..QUERIES
  if (query + ${i}u < params.queryCount) {
//! for c in 0..HEAD_DIM4
    store_out(row_$i, ${c}u, out_${i}_${c} / sum_$i);
//! end
    lse[head * params.queryCount + query + ${i}u] = (top_$i + log2(sum_$i)) * LN_2;
  }
//! end
}
