// Flash attention, backward, second pass: dk and dv, for wide heads: a tile of 32 keys of one key–value head per workgroup.
// rows_dkv.wgsl has the formulas. The tile's rows are keys, its columns queries; sums run over the query heads
// of the group, then over the queries in ascending order.

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) part: vec3u, @builtin(local_invocation_index) lane: u32) {
  let group = group_of(part);
  let threadRow = lane / THREAD_COLUMNS;
  let threadColumn = lane % THREAD_COLUMNS;
  let firstKey = group.x * ROWS;
  let lastKey = min(firstKey + ROWS, params.tokenCount) - 1u;
  let lastQuery = queryEnds[lastKey] - 1u;
  let keys = Rows(firstKey, lastKey + 1u, params.kvHeadCount, group.y);
  let headsOfGroup = params.headCount / params.kvHeadCount;
//! for i in 0..4
  let key_$i = firstKey + threadRow * 4u + $i;
  let end_$i = queryEnds[min(key_$i, lastKey)];
//! end

  for (var head = group.y * headsOfGroup; head < (group.y + 1u) * headsOfGroup; head++) {
    for (var query = firstKey; query <= lastQuery; query += COLUMNS) {
      let queries = Rows(query, lastQuery + 1u, params.headCount, head);
//! if SOFT_CAP
      make_s(lane, params.scale / f32(SOFT_CAP), keys, queries);
//! end
//! if !SOFT_CAP
      make_s(lane, params.scale * LOG2_E, keys, queries);
//! end
      make_dp(lane, 1.0, keys, queries);
      let column = query + threadColumn * 4u + vec4u(0u, 1u, 2u, 3u);
      let at = head * params.tokenCount + min(column, vec4u(lastQuery));
      let logSum = vec4f(lse[at.x], lse[at.y], lse[at.z], lse[at.w]) * LOG2_E;
      let rowDelta = vec4f(delta[at.x], delta[at.y], delta[at.z], delta[at.w]);
//! for i in 0..4
      let seen_$i = (column >= vec4u(key_$i)) & (column < vec4u(end_$i));
//! if SOFT_CAP
      let tanh_$i = tanh_of(s_$i);
      s_$i = tanh_$i * (f32(SOFT_CAP) * LOG2_E);
//! end
      let p_$i = select(vec4f(), exp2(s_$i - logSum), seen_$i);
      weights[$i][threadRow][threadColumn] = p_$i;
//! end
      workgroupBarrier();
      add_to_dv(lane, queries);
//! for i in 0..4
//! if SOFT_CAP
      dp_$i = (dp_$i - rowDelta) * (1.0 - tanh_$i * tanh_$i);
      weights[$i][threadRow][threadColumn] = select(vec4f(), p_$i * dp_$i, seen_$i);
//! end
//! if !SOFT_CAP
      weights[$i][threadRow][threadColumn] = select(vec4f(), p_$i * (dp_$i - rowDelta), seen_$i);
//! end
//! end
      workgroupBarrier();
      add_to_dk(lane, queries);
    }
  }

//! for i in 0..4
  if (key_$i <= lastKey) {
//! for m in 0..HEAD_PARTS
    let c_${i}_${m} = threadColumn + $m * THREAD_COLUMNS;
    if (c_${i}_${m} < HEAD_DIM4) {
      store_dk(key_$i * params.kvHeadCount + group.y, c_${i}_${m}, dk_${i}_${m} * params.scale);
      store_dv(key_$i * params.kvHeadCount + group.y, c_${i}_${m}, dv_${i}_${m});
    }
//! end
  }
//! end
}
