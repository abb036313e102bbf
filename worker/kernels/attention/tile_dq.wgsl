// Flash attention, backward, first pass: dq and delta, for wide heads: a tile of 32 queries of one head per workgroup.
// rows_dq.wgsl has the formulas. Sums run over keys in ascending order.

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) part: vec3u, @builtin(local_invocation_index) lane: u32) {
  let group = group_of(part);
  let threadRow = lane / THREAD_COLUMNS;
  let threadColumn = lane % THREAD_COLUMNS;
  let firstQuery = group.x * ROWS;
  let lastQuery = min(firstQuery + ROWS, params.tokenCount) - 1u;
  let head = group.y;
  let keyHead = head / (params.headCount / params.kvHeadCount);
  let queries = Rows(firstQuery, lastQuery + 1u, params.headCount, head);
  let query = firstQuery + threadRow * 4u;

  var logSum = vec4f();
  var rowDelta = vec4f();
//! for i in 0..4
  let query_$i = min(query + $i, lastQuery);
  let row_$i = query_$i * params.headCount + head;
  let start_$i = keyStarts[query_$i];
  logSum[$i] = lse[head * params.tokenCount + query_$i] * LOG2_E;
//! for m in 0..HEAD_PARTS
  if (threadColumn + $m * THREAD_COLUMNS < HEAD_DIM4) {
    let c = threadColumn + $m * THREAD_COLUMNS;
    let products = load_dOut(row_$i, c) * load_out(row_$i, c);
    rowDelta[$i] += products.x + products.y + products.z + products.w;
  }
//! end
//! end
  columnTile[threadRow][threadColumn] = rowDelta;
  workgroupBarrier();
  rowDelta = vec4f();
//! for x in 0..16
  rowDelta += columnTile[threadRow][$x];
//! end
  workgroupBarrier();

  for (var key = keyStarts[firstQuery]; key <= lastQuery; key += COLUMNS) {
    let keys = Rows(key, lastQuery + 1u, params.kvHeadCount, keyHead);
//! if SOFT_CAP
    make_s(lane, params.scale / f32(SOFT_CAP), queries, keys);
//! end
//! if !SOFT_CAP
    make_s(lane, params.scale * LOG2_E, queries, keys);
//! end
    make_dp(lane, 1.0, queries, keys);
    let column = key + threadColumn * 4u + vec4u(0u, 1u, 2u, 3u);
//! for i in 0..4
    let seen_$i = (column >= vec4u(start_$i)) & (column <= vec4u(query_$i));
//! if SOFT_CAP
    let tanh_$i = tanh_of(s_$i);
    s_$i = tanh_$i * (f32(SOFT_CAP) * LOG2_E);
    weights[$i][threadRow][threadColumn] = select(
      vec4f(),
      exp2(s_$i - logSum[$i]) * (dp_$i - rowDelta[$i]) * (1.0 - tanh_$i * tanh_$i),
      seen_$i,
    );
//! end
//! if !SOFT_CAP
    weights[$i][threadRow][threadColumn] =
      select(vec4f(), exp2(s_$i - logSum[$i]) * (dp_$i - rowDelta[$i]), seen_$i);
//! end
//! end
    workgroupBarrier();
    add_to_dq(lane, keys);
  }

//! for i in 0..4
  if (query + $i <= lastQuery) {
//! for m in 0..HEAD_PARTS
    if (threadColumn + $m * THREAD_COLUMNS < HEAD_DIM4) {
      store_dq(row_$i, threadColumn + $m * THREAD_COLUMNS, dq_${i}_${m} * params.scale);
    }
//! end
    if (threadColumn == 0u) { delta[head * params.tokenCount + query + $i] = rowDelta[$i]; }
  }
//! end
}
