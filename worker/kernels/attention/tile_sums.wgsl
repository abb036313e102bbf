// RESULT += weights · VALUES for one tile: 32 × 64 weights in workgroup memory against 64 rows of VALUES. An invocation
// keeps 4 rows of the result, and of each row the vec4s threadColumn, threadColumn + 16, …: RESULT_i_m. Every element adds
// its products in the order of VALUES' rows. With ADD_WEIGHTS, `sum` gathers each row's weights in the same order.

//! for i in 0..4
//! for m in 0..HEAD_PARTS
var<private> RESULT_${i}_${m}: vec4f;
//! end
//! end

fn add_to_RESULT(lane: u32, values: Rows) {
  let threadRow = lane / THREAD_COLUMNS;
  let threadColumn = lane % THREAD_COLUMNS;
  for (var first = 0u; first < COLUMNS && values.first + first < values.end; first += SUM_STEP) {
    for (var at = lane; at < SUM_STEP * HEAD_PARTS * THREAD_COLUMNS; at += THREADS) {
      let c = at % (HEAD_PARTS * THREAD_COLUMNS);
      let step = at / (HEAD_PARTS * THREAD_COLUMNS);
      let token = values.first + first + step;
      var value = vec4f();
      if (token < values.end && c < HEAD_DIM4) { value = load_VALUES(token * values.stride + values.head, c); }
      columnTile[step * HEAD_PARTS + c / THREAD_COLUMNS][c % THREAD_COLUMNS] = value;
    }
    workgroupBarrier();
//! for s in 0..SUM_STEP4
//! for i in 0..4
    let w_${s}_${i} = weights[$i][threadRow][first / 4u + ${s}u];
//! end
//! for x in 0..4
//! if ADD_WEIGHTS
    sum += vec4f(w_${s}_0[$x], w_${s}_1[$x], w_${s}_2[$x], w_${s}_3[$x]);
//! end
//! for m in 0..HEAD_PARTS
    let b_${s}_${x}_${m} = columnTile[($s * 4 + $x) * HEAD_PARTS + $m][threadColumn];
//! for i in 0..4
    RESULT_${i}_${m} = fma(vec4f(w_${s}_${i}[$x]), b_${s}_${x}_${m}, RESULT_${i}_${m});
//! end
//! end
//! end
//! end
    workgroupBarrier();
  }
}
