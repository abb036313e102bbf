// Flash attention, backward, second pass: dk and dv, one key of one key–value head an invocation.
//
//   P = exp(scale · q · k − lse),  dv = Σ P · dOut,  dk = scale · Σ P · (dOut · v − delta) · q
//
// The sums run over the query heads of the group, then over the queries in ascending order: the same order wherever the
// document lies in the micro-batch. All invocations of a workgroup read the same query at the same time.

const LOG2_E = 1.4426950408889634;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let firstKey = group.x * LANES;
  let lastKey = min(firstKey + LANES, params.tokenCount) - 1u;
  let key = min(firstKey + lane, lastKey);
  let row = key * params.kvHeadCount + group.y;
  let end = queryEnds[key];
  let lastQuery = queryEnds[lastKey] - 1u;
  let headsOfGroup = params.headCount / params.kvHeadCount;
  let factor = params.scale * LOG2_E;
//! for c in 0..HEAD_DIM4
  let k_$c = load_k(row, ${c}u) * factor;
  let v_$c = load_v(row, ${c}u);
  var dk_$c = vec4f();
  var dv_$c = vec4f();
//! end

  for (var head = group.y * headsOfGroup; head < (group.y + 1u) * headsOfGroup; head++) {
    for (var t = firstKey; t <= lastQuery; t += QUERIES) {
//! for i in 0..QUERIES
      let query_$i = min(t + ${i}u, lastQuery);
      let row_$i = query_$i * params.headCount + head;
      var s_$i = 0.0;
      var dp_$i = 0.0;
//! end
//! for c in 0..HEAD_DIM4
//! for i in 0..QUERIES
      let q_${i}_${c} = load_q(row_$i, ${c}u);
      let dOut_${i}_${c} = load_dOut(row_$i, ${c}u);
      s_$i = fma(k_$c.x, q_${i}_${c}.x, s_$i);
      s_$i = fma(k_$c.y, q_${i}_${c}.y, s_$i);
      s_$i = fma(k_$c.z, q_${i}_${c}.z, s_$i);
      s_$i = fma(k_$c.w, q_${i}_${c}.w, s_$i);
      dp_$i = fma(v_$c.x, dOut_${i}_${c}.x, dp_$i);
      dp_$i = fma(v_$c.y, dOut_${i}_${c}.y, dp_$i);
      dp_$i = fma(v_$c.z, dOut_${i}_${c}.z, dp_$i);
      dp_$i = fma(v_$c.w, dOut_${i}_${c}.w, dp_$i);
//! end
//! end
//! for i in 0..QUERIES
      let seen_$i = t + ${i}u >= key && t + ${i}u < end;
      let at_$i = head * params.tokenCount + query_$i;
      let p_$i = select(0.0, exp2(s_$i - lse[at_$i] * LOG2_E), seen_$i);
      let ds_$i = select(0.0, p_$i * (dp_$i - delta[at_$i]), seen_$i);
//! end
//! for c in 0..HEAD_DIM4
//! for i in 0..QUERIES
      dv_$c = fma(vec4f(p_$i), load_dOut(row_$i, ${c}u), dv_$c);
      dk_$c = fma(vec4f(ds_$i), load_q(row_$i, ${c}u), dk_$c);
//! end
//! end
    }
  }

  if (firstKey + lane > lastKey) { return; }
//! for c in 0..HEAD_DIM4
  store_dk(row, ${c}u, dk_$c * params.scale);
  store_dv(row, ${c}u, dv_$c);
//! end
}
