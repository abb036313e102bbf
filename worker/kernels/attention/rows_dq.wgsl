// Flash attention, backward, first pass: dq and delta, for narrow heads. As in rows_forward.wgsl, an invocation has
// QUERIES neighbouring queries of one head in registers, and walks over the keys that any of them sees.
//
//   delta = Σ dOut · out,  P = exp(scale · q · k − lse),  dq = scale · Σ over keys of P · (dOut · v − delta) · k
//
// With SOFT_CAP, P comes from the capped scores c · tanh(s / c), and each term of dq has their slope 1 − tanh²(s / c).
//
// A query's sums run over its keys in ascending order and keys that it does not see add an exact 0, so that the bits do
// not depend on its neighbours or on its place in the micro-batch.

const LOG2_E = 1.4426950408889634;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) part: vec3u, @builtin(local_invocation_index) lane: u32) {
  let group = group_of(part);
  let index = group.x * LANES + lane;
//! if HEADS_INSIDE
  let head = index % params.headCount;
  let query = index / params.headCount * QUERIES;
//! end
//! if !HEADS_INSIDE
  let parts = (params.tokenCount + QUERIES - 1u) / QUERIES;
  let head = index / parts;
  let query = index % parts * QUERIES;
//! end
  if (query >= params.tokenCount || head >= params.headCount) { return; }
  let keyHead = head / (params.headCount / params.kvHeadCount);
  let last = min(query + QUERIES, params.tokenCount) - 1u;
//! if SOFT_CAP
  let factor = params.scale / f32(SOFT_CAP);
//! end
//! if !SOFT_CAP
  let factor = params.scale * LOG2_E;
//! end
//! for i in 0..QUERIES
  let query_$i = min(query + ${i}u, last);
  let start_$i = keyStarts[query_$i];
  let row_$i = query_$i * params.headCount + head;
  let logSum_$i = lse[head * params.tokenCount + query_$i] * LOG2_E;
  var delta_$i = 0.0;
//! for c in 0..HEAD_DIM4
  let q_${i}_${c} = load_q(row_$i, ${c}u) * factor;
  let dOut_${i}_${c} = load_dOut(row_$i, ${c}u);
  let out_${i}_${c} = load_out(row_$i, ${c}u);
  delta_$i = fma(dOut_${i}_${c}.x, out_${i}_${c}.x, delta_$i);
  delta_$i = fma(dOut_${i}_${c}.y, out_${i}_${c}.y, delta_$i);
  delta_$i = fma(dOut_${i}_${c}.z, out_${i}_${c}.z, delta_$i);
  delta_$i = fma(dOut_${i}_${c}.w, out_${i}_${c}.w, delta_$i);
  var dq_${i}_${c} = vec4f();
//! end
//! end

  for (var key = start_0; key <= last; key++) {
    let keyRow = key * params.kvHeadCount + keyHead;
//! for i in 0..QUERIES
    var s_$i = 0.0;
    var dp_$i = 0.0;
//! end
//! for c in 0..HEAD_DIM4
    let k_$c = load_k(keyRow, ${c}u);
    let v_$c = load_v(keyRow, ${c}u);
//! for i in 0..QUERIES
    s_$i = fma(q_${i}_${c}.x, k_$c.x, s_$i);
    s_$i = fma(q_${i}_${c}.y, k_$c.y, s_$i);
    s_$i = fma(q_${i}_${c}.z, k_$c.z, s_$i);
    s_$i = fma(q_${i}_${c}.w, k_$c.w, s_$i);
    dp_$i = fma(dOut_${i}_${c}.x, v_$c.x, dp_$i);
    dp_$i = fma(dOut_${i}_${c}.y, v_$c.y, dp_$i);
    dp_$i = fma(dOut_${i}_${c}.z, v_$c.z, dp_$i);
    dp_$i = fma(dOut_${i}_${c}.w, v_$c.w, dp_$i);
//! end
//! end
//! for i in 0..QUERIES
//! if SOFT_CAP
    let tanh_$i = tanh_of(s_$i);
    s_$i = tanh_$i * (f32(SOFT_CAP) * LOG2_E);
//! end
    let p_$i = exp2(s_$i - logSum_$i);
//! if SOFT_CAP
    let ds_$i = select(
      0.0,
      p_$i * (dp_$i - delta_$i) * (1.0 - tanh_$i * tanh_$i),
      key >= start_$i && key <= query_$i,
    );
//! end
//! if !SOFT_CAP
    let ds_$i = select(0.0, p_$i * (dp_$i - delta_$i), key >= start_$i && key <= query_$i);
//! end
//! end
//! for c in 0..HEAD_DIM4
//! for i in 0..QUERIES
    dq_${i}_${c} = fma(vec4f(ds_$i), k_$c, dq_${i}_${c});
//! end
//! end
  }

//! for i in 0..QUERIES
  if (query + ${i}u <= last) {
//! for c in 0..HEAD_DIM4
    store_dq(row_$i, ${c}u, dq_${i}_${c} * params.scale);
//! end
    delta[head * params.tokenCount + query_$i] = delta_$i;
  }
//! end
}
