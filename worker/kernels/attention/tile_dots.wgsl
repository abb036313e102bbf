// RESULT = LEFT · RIGHTᵀ for one tile: 32 rows of LEFT against 64 rows of RIGHT, whose index is the tile's column. Each
// invocation makes 4 × 4 of the products, RESULT_i being row i against its four columns. Every product adds up along
// the head in ascending order. Zeros stand for rows behind `end` and for values behind the head.

//! for i in 0..4
var<private> RESULT_$i: vec4f;
//! end

fn make_RESULT(lane: u32, factor: f32, left: Rows, right: Rows) {
  let threadRow = lane / THREAD_COLUMNS;
  let threadColumn = lane % THREAD_COLUMNS;
  let token = left.first + lane / 4u;
//! for i in 0..4
  var sum_$i = vec4f();
//! end
  for (var first = 0u; first < HEAD_DIM4; first += 4u) {
    let c = first + lane % 4u;
    var value = vec4f();
    if (token < left.end && c < HEAD_DIM4) { value = load_LEFT(token * left.stride + left.head, c) * factor; }
    rowTile[lane % 4u][lane / 4u % 4u][lane / 16u] = value;
//! for n in 0..2
    value = vec4f();
    let token_$n = right.first + ${n}u * 32u + lane / 4u;
    if (token_$n < right.end && c < HEAD_DIM4) { value = load_RIGHT(token_$n * right.stride + right.head, c); }
    columnTile[lane % 4u * 4u + lane / 4u % 4u][${n}u * 8u + lane / 16u] = value;
//! end
    workgroupBarrier();
//! for s in 0..4
//! for i in 0..4
    let a_${s}_${i} = rowTile[$s][$i][threadRow];
    let b_${s}_${i} = columnTile[$s * 4 + $i][threadColumn];
//! end
//! for i in 0..4
//! for x in 0..4
    sum_$i = fma(
      vec4f(a_${s}_${i}[$x]),
      vec4f(b_${s}_0[$x], b_${s}_1[$x], b_${s}_2[$x], b_${s}_3[$x]),
      sum_$i,
    );
//! end
//! end
//! end
    workgroupBarrier();
  }
//! for i in 0..4
  RESULT_$i = sum_$i;
//! end
}
