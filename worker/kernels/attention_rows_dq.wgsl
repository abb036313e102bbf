// Flash attention, backward, first pass: dq and delta, one query of one head an invocation, as in attention_rows.wgsl.
//
//   delta = Σ dOut · out,  P = exp(scale · q · k − lse),  dq = scale · Σ over keys of P · (dOut · v − delta) · k
//
// A query's sums run over its keys in ascending order and keys that it does not see add an exact 0, so that the bits do
// not depend on the tile or on the place in the micro-batch.

const LOG2_E = 1.4426950408889634;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let firstQuery = group.x * LANES;
  let lastQuery = min(firstQuery + LANES, params.tokenCount) - 1u;
  let query = min(firstQuery + lane, lastQuery);
  let head = group.y;
  let keyRow = head / (params.headCount / params.kvHeadCount);
  let row = query * params.headCount + head;
  let start = keyStarts[query];
  let factor = params.scale * LOG2_E;
  let logSum = lse[head * params.tokenCount + query] * LOG2_E;
  var rowDelta = 0.0;
//! for c in 0..HEAD_DIM4
  let q_$c = load_q(row, ${c}u) * factor;
  let dOut_$c = load_dOut(row, ${c}u);
  var dq_$c = vec4f();
  {
    let o = load_out(row, ${c}u);
    rowDelta = fma(dOut_$c.x, o.x, rowDelta);
    rowDelta = fma(dOut_$c.y, o.y, rowDelta);
    rowDelta = fma(dOut_$c.z, o.z, rowDelta);
    rowDelta = fma(dOut_$c.w, o.w, rowDelta);
  }
//! end

  for (var j = keyStarts[firstQuery]; j <= lastQuery; j += KEYS) {
//! for i in 0..KEYS
    let row_$i = min(j + ${i}u, lastQuery) * params.kvHeadCount + keyRow;
    var s_$i = 0.0;
    var dp_$i = 0.0;
//! end
//! for c in 0..HEAD_DIM4
//! for i in 0..KEYS
    let k_${i}_${c} = load_k(row_$i, ${c}u);
    let v_${i}_${c} = load_v(row_$i, ${c}u);
    s_$i = fma(q_$c.x, k_${i}_${c}.x, s_$i);
    s_$i = fma(q_$c.y, k_${i}_${c}.y, s_$i);
    s_$i = fma(q_$c.z, k_${i}_${c}.z, s_$i);
    s_$i = fma(q_$c.w, k_${i}_${c}.w, s_$i);
    dp_$i = fma(dOut_$c.x, v_${i}_${c}.x, dp_$i);
    dp_$i = fma(dOut_$c.y, v_${i}_${c}.y, dp_$i);
    dp_$i = fma(dOut_$c.z, v_${i}_${c}.z, dp_$i);
    dp_$i = fma(dOut_$c.w, v_${i}_${c}.w, dp_$i);
//! end
//! end
//! for i in 0..KEYS
    let seen_$i = j + ${i}u >= start && j + ${i}u <= query;
    let ds_$i = select(0.0, exp2(s_$i - logSum) * (dp_$i - rowDelta), seen_$i);
//! end
//! for c in 0..HEAD_DIM4
//! for i in 0..KEYS
    dq_$c = fma(vec4f(ds_$i), load_k(row_$i, ${c}u), dq_$c);
//! end
//! end
  }

  if (firstQuery + lane > lastQuery) { return; }
//! for c in 0..HEAD_DIM4
  store_dq(row, ${c}u, dq_$c * params.scale);
//! end
  delta[head * params.tokenCount + query] = rowDelta;
}
