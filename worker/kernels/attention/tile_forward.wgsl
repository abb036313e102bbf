// Flash attention, forward, for wide heads: a tile of 32 queries of one head per workgroup.
//
// The workgroup walks over the union of its queries' key ranges, merged where they touch: neither a different document's
// keys nor a cache's gaps cost anything. The online softmax is that of rows_forward.wgsl, and so are the result's bits:
// sums run over keys in ascending order, shrinking is exact, a key that a query does not see adds an exact 0.

const LOWEST = -3e38;
const LN_2 = 0.6931471805599453;

var<private> start: vec4u;
var<private> end: vec4u;
var<private> top: vec4f;
var<private> sum: vec4f;

/** 2^x of whole numbers x ≤ 0; 0 below the smallest normal number. */
fn power(x: vec4f) -> vec4f { return bitcast<vec4f>(vec4u(max(x, vec4f(-127.0)) + 127.0) << vec4u(23u)); }

/** Attends to the keys [first, last). */
fn attend(lane: u32, queries: Rows, keyHead: u32, first: u32, last: u32) {
  let threadRow = lane / THREAD_COLUMNS;
  let threadColumn = lane % THREAD_COLUMNS;
  for (var key = first; key < last; key += COLUMNS) {
    let keys = Rows(key, last, params.kvHeadCount, keyHead);
//! if SOFT_CAP
    make_s(lane, params.scale / f32(SOFT_CAP), queries, keys);
//! end
//! if !SOFT_CAP
    make_s(lane, params.scale * LOG2_E, queries, keys);
//! end
    let column = key + threadColumn * 4u + vec4u(0u, 1u, 2u, 3u);
    var newTop = top;
//! for i in 0..4
    let seen_$i = (column >= vec4u(start[$i])) & (column < vec4u(min(end[$i], last)));
//! if SOFT_CAP
    s_$i = tanh_of(s_$i) * (f32(SOFT_CAP) * LOG2_E);
//! end
    let whole_$i = floor(s_$i);
    let tops_$i = select(vec4f(LOWEST), whole_$i, seen_$i);
    newTop[$i] = max(newTop[$i], max(max(tops_$i.x, tops_$i.y), max(tops_$i.z, tops_$i.w)));
//! end
    columnTile[threadRow][threadColumn] = newTop;
    workgroupBarrier();
//! for x in 0..16
    newTop = max(newTop, columnTile[threadRow][$x]);
//! end
    let shrink = power(top - newTop);
    top = newTop;
    sum *= shrink;
//! for i in 0..4
    let p_$i = exp2(s_$i - whole_$i) * power(whole_$i - newTop[$i]);
    weights[$i][threadRow][threadColumn] = select(vec4f(), p_$i, seen_$i);
//! for m in 0..HEAD_PARTS
    out_${i}_${m} *= shrink[$i];
//! end
//! end
    workgroupBarrier();
    add_to_out(lane, keys);
  }
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) part: vec3u, @builtin(local_invocation_index) lane: u32) {
  let group = group_of(part);
  let firstQuery = group.x * ROWS;
  let lastQuery = min(firstQuery + ROWS, params.queryCount) - 1u;
  let head = group.y;
  let keyHead = head / (params.headCount / params.kvHeadCount);
  let queries = Rows(firstQuery, lastQuery + 1u, params.headCount, head);
  let query = firstQuery + lane / THREAD_COLUMNS * 4u;
//! for i in 0..4
  if (query + $i <= lastQuery) {
    start[$i] = keyStarts[query + $i];
    end[$i] = keyEnds[query + $i];
  }
//! end
  top = vec4f(LOWEST);

  // Queries before `t` lie within [first, last) already.
  var t = firstQuery + 1u;
  var first = keyStarts[firstQuery];
  var last = keyEnds[firstQuery];
  var ascending = true;
  var lowest = first;
  var highest = last;
  for (var i = t; i <= lastQuery; i++) {
    ascending = ascending && keyStarts[i - 1u] <= keyStarts[i];
    lowest = min(lowest, keyStarts[i]);
    highest = max(highest, keyEnds[i]);
  }
  if (!ascending) {
    first = lowest;
    last = highest;
    t = lastQuery + 1u;
  }
  loop {
    while (t <= lastQuery && keyStarts[t] <= last) {
      last = max(last, keyEnds[t]);
      t++;
    }
    attend(lane, queries, keyHead, first, last);
    if (t > lastQuery) { break; }
    first = keyStarts[t];
    last = keyEnds[t];
  }

//! for i in 0..4
  if (query + $i <= lastQuery) {
//! for m in 0..HEAD_PARTS
    let c_${i}_${m} = lane % THREAD_COLUMNS + $m * THREAD_COLUMNS;
    if (c_${i}_${m} < HEAD_DIM4) {
      store_out((query + $i) * params.headCount + head, c_${i}_${m}, out_${i}_${m} / sum[$i]);
    }
//! end
    if (lane % THREAD_COLUMNS == 0u) {
      lse[head * params.queryCount + query + $i] = (top[$i] + log2(sum[$i])) * LN_2;
    }
  }
//! end
}
