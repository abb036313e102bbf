// Flash attention, backward, second pass: dk and dv, for narrow heads: KEYS neighbouring keys of one key–value head per
// invocation. It walks over the query heads of the group, and for each over the queries that see any of its keys.
//
//   P = exp(scale · q · k − lse),  dv = Σ P · dOut,  dk = scale · Σ P · (dOut · v − delta) · q
//
// With SOFT_CAP as in rows_dq.wgsl.
//
// Queries come in ascending order and one that does not see a key adds an exact 0: the bits do not depend on a key's
// neighbours or on its place in the micro-batch.

const LOG2_E = 1.4426950408889634;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) part: vec3u, @builtin(local_invocation_index) lane: u32) {
  let group = group_of(part);
  let index = group.x * LANES + lane;
//! if HEADS_INSIDE
  let keyHead = index % params.kvHeadCount;
  let key = index / params.kvHeadCount * KEYS;
//! end
//! if !HEADS_INSIDE
  let parts = (params.tokenCount + KEYS - 1u) / KEYS;
  let keyHead = index / parts;
  let key = index % parts * KEYS;
//! end
  if (key >= params.tokenCount || keyHead >= params.kvHeadCount) { return; }
  let last = min(key + KEYS, params.tokenCount) - 1u;
  let end = queryEnds[last];
  let headsOfGroup = params.headCount / params.kvHeadCount;
//! if SOFT_CAP
  let factor = params.scale / f32(SOFT_CAP);
//! end
//! if !SOFT_CAP
  let factor = params.scale * LOG2_E;
//! end
//! for i in 0..KEYS
  let key_$i = min(key + ${i}u, last);
  let end_$i = queryEnds[key_$i];
  let row_$i = key_$i * params.kvHeadCount + keyHead;
//! for c in 0..HEAD_DIM4
  let k_${i}_${c} = load_k(row_$i, ${c}u) * factor;
  let v_${i}_${c} = load_v(row_$i, ${c}u);
  var dk_${i}_${c} = vec4f();
  var dv_${i}_${c} = vec4f();
//! end
//! end

  for (var head = keyHead * headsOfGroup; head < (keyHead + 1u) * headsOfGroup; head++) {
    for (var query = key; query < end; query++) {
      let queryRow = query * params.headCount + head;
      let logSum = lse[head * params.tokenCount + query] * LOG2_E;
      let rowDelta = delta[head * params.tokenCount + query];
//! for i in 0..KEYS
      var s_$i = 0.0;
      var dp_$i = 0.0;
//! end
//! for c in 0..HEAD_DIM4
      let q_$c = load_q(queryRow, ${c}u);
      let dOut_$c = load_dOut(queryRow, ${c}u);
//! for i in 0..KEYS
      s_$i = fma(k_${i}_${c}.x, q_$c.x, s_$i);
      s_$i = fma(k_${i}_${c}.y, q_$c.y, s_$i);
      s_$i = fma(k_${i}_${c}.z, q_$c.z, s_$i);
      s_$i = fma(k_${i}_${c}.w, q_$c.w, s_$i);
      dp_$i = fma(v_${i}_${c}.x, dOut_$c.x, dp_$i);
      dp_$i = fma(v_${i}_${c}.y, dOut_$c.y, dp_$i);
      dp_$i = fma(v_${i}_${c}.z, dOut_$c.z, dp_$i);
      dp_$i = fma(v_${i}_${c}.w, dOut_$c.w, dp_$i);
//! end
//! end
//! for i in 0..KEYS
      let seen_$i = query >= key_$i && query < end_$i;
//! if SOFT_CAP
      let tanh_$i = tanh_of(s_$i);
      s_$i = tanh_$i * (f32(SOFT_CAP) * LOG2_E);
//! end
      let p_$i = select(0.0, exp2(s_$i - logSum), seen_$i);
//! if SOFT_CAP
      let ds_$i = select(0.0, p_$i * (dp_$i - rowDelta) * (1.0 - tanh_$i * tanh_$i), seen_$i);
//! end
//! if !SOFT_CAP
      let ds_$i = select(0.0, p_$i * (dp_$i - rowDelta), seen_$i);
//! end
//! end
//! for c in 0..HEAD_DIM4
//! for i in 0..KEYS
      dv_${i}_${c} = fma(vec4f(p_$i), dOut_$c, dv_${i}_${c});
      dk_${i}_${c} = fma(vec4f(ds_$i), q_$c, dk_${i}_${c});
//! end
//! end
    }
  }

//! for i in 0..KEYS
  if (key + ${i}u <= last) {
//! for c in 0..HEAD_DIM4
    store_dk(row_$i, ${c}u, dk_${i}_${c} * params.scale);
    store_dv(row_$i, ${c}u, dv_${i}_${c});
//! end
  }
//! end
}
