// out = alpha · A · B (+ bias) (+ out).
//
// A thread owns THREAD_M × THREAD_N elements, a workgroup THREADS_M × THREADS_N threads. Operands are taken four steps
// of k at a time, as one vec4 along k for each row of A and each column of B: that is how NF4 is packed, and a load of
// four values costs little more than a load of one. Their way to the thread depends on the processor:
//
//   STAGED       GPUs: the workgroup copies TILE_K steps of its rows and columns to workgroup memory, then all threads
//                read them from there. Slots are ordered so that neighbouring threads read neighbouring vec4s.
//   SUBGROUP > 0 CPU drivers: a load costs as much as a hundred additions, for each lane, workgroup memory or not. So
//                each of SUBGROUP lanes loads a different part of A and broadcasts it; each of B's columns belongs to one lane.
//   neither      each thread loads what it needs.
//
// SPLIT > 1 (staged only): that many threads share an element's sum, each with its part of every TILE_K; at the end their
// sums are added in order. It keeps a GPU's threads busy where `out` is small and k is long.
//
// Beyond the edges, rows and columns are clamped and not written; steps of k are zeros. Each element of `out` adds its
// products in an order that does not depend on its place in the tile: a row gives the same bits anywhere in the
// micro-batch.
//
// HALF: B is bf16, or f16 without BF16 (elementwise/half_floats.ts), two in a word.
// A_ALONG_K: A is [m, k], else [k, m]. B_ALONG_K: B is [n, k], else [k, n]. VEC_A, VEC_B, VEC_OUT: rows in memory are
// whole vec4s (NF4: whole words); A_QUADS, B_QUADS: such a vec4 lies across k. HOISTED_SCALE: a column stays in one NF4
// block for 64 steps of k. SHARED_SCALE: the tile's columns share a block at each k. A thread's rows are
// [ROW_BLOCKS][BLOCK_QUADS][4], its columns [COLUMN_GROUPS][GROUP_SIZE].

const TILE_K4 = TILE_K / 4u;

//! if STAGED
var<workgroup> tile_a: array<vec4f, TILE_K4 * TILE_M>;
var<workgroup> tile_b: array<vec4f, TILE_K4 * TILE_N>;
const THREADS_OUT = THREADS / SPLIT;
//! end
//! if SPLIT_K
var<workgroup> partial: array<f32, TILE_M * TILE_N>;
//! end

//! if NF4
//! if STAGED
/** `codebook_value` (nf4_codebook.ts) of each code; filled at the start. */
var<workgroup> codebook: array<f32, 16>;
fn value_of(code: u32) -> f32 { return codebook[code]; }
//! end
//! if !STAGED
fn value_of(code: u32) -> f32 { return codebook_value(code); }
//! end

/** The factor of a block of 64 elements. */
fn scale_of(block: u32) -> f32 {
//! if DOUBLE_QUANTIZED
  let code = (absmax[block >> 2u] >> ((block & 3u) * 8u)) & 255u;
  return dynamic_map[code] * nested_absmax[block >> 8u] + params.nested_offset;
//! end
//! if !DOUBLE_QUANTIZED
  return bitcast<f32>(absmax[block]);
//! end
}

/** Four elements of the flat weight before they are scaled; `at` is a multiple of 4. The even one of a byte is its high nibble. */
fn four_values(at: u32) -> vec4f {
  let bits = codes[at >> 3u] >> ((at & 4u) * 4u);
  return vec4f(
    value_of((bits >> 4u) & 15u),
    value_of(bits & 15u),
    value_of((bits >> 12u) & 15u),
    value_of((bits >> 8u) & 15u),
  );
}

fn value_b(at: u32) -> f32 {
  let code = (codes[at >> 3u] >> (((at & 7u) ^ 1u) * 4u)) & 15u;
  return value_of(code) * scale_of(at >> 6u);
}
fn vec_b(at: u32) -> vec4f { return four_values(at) * scale_of(at >> 6u); }
//! end
//! if !NF4
//! if VEC_B
//! if HALF
fn vec_b(at: u32) -> vec4f { return f32_of_halves(b[at / 4u]); }
//! end
//! if !HALF
fn vec_b(at: u32) -> vec4f { return b[at / 4u]; }
//! end
//! end
//! if !VEC_B
//! if HALF
fn value_b(at: u32) -> f32 { return f32_of_half((b[at >> 1u] >> ((at & 1u) * 16u)) & 0xffffu); }
//! end
//! if !HALF
fn value_b(at: u32) -> f32 { return b[at]; }
//! end
//! end
//! end

//! if A_ALONG_K
fn index_a(row: u32, k: u32) -> u32 { return row * params.k + k; }
//! end
//! if !A_ALONG_K
fn index_a(row: u32, k: u32) -> u32 { return k * params.m + row; }
//! end
//! if B_ALONG_K
fn index_b(column: u32, k: u32) -> u32 { return column * params.k + k; }
//! end
//! if !B_ALONG_K
fn index_b(column: u32, k: u32) -> u32 { return k * params.n + column; }
//! end

//! if A_QUADS
/** Four rows of A at one k. */
fn rows_a(row: u32, k: u32) -> vec4f {
  let value = a[index_a(min(row, params.m - 4u), min(k, params.k - 1u)) / 4u];
  return select(vec4f(), value, k < params.k);
}
//! end
//! if !A_QUADS
/** Four steps of A from k on in one row. */
fn along_a(any_row: u32, k: u32) -> vec4f {
  let row = min(any_row, params.m - 1u);
//! if VEC_A
  return select(vec4f(), a[index_a(row, min(k, params.k - 4u)) / 4u], k < params.k);
//! end
//! if !VEC_A
  var value = vec4f();
//! for j in 0..4
  value[$j] = select(0.0, a[index_a(row, min(k + ${j}u, params.k - 1u))], k + ${j}u < params.k);
//! end
  return value;
//! end
}
//! end

//! if B_QUADS
/** Four columns of B at one k. */
fn columns_b(column: u32, k: u32) -> vec4f {
  let at = index_b(min(column, params.n - 4u), min(k, params.k - 1u));
//! if SHARED_SCALE
  return select(vec4f(), four_values(at), k < params.k);
//! end
//! if !SHARED_SCALE
  return select(vec4f(), vec_b(at), k < params.k);
//! end
}
//! end
//! if !B_QUADS
/** Four steps of B from k on in one column. */
fn along_b(any_column: u32, k: u32) -> vec4f {
  let column = min(any_column, params.n - 1u);
//! if VEC_B
  return select(vec4f(), vec_b(index_b(column, min(k, params.k - 4u))), k < params.k);
//! end
//! if !VEC_B
  var value = vec4f();
//! for j in 0..4
  value[$j] = select(0.0, value_b(index_b(column, min(k + ${j}u, params.k - 1u))), k + ${j}u < params.k);
//! end
  return value;
//! end
}
//! end

//! if STAGED
/** Copies one part of A to workgroup memory. */
fn stage_a(at: u32, row_0: u32, k_0: u32) {
//! if A_ALONG_K
  let k4 = at % TILE_K4;
  let row = at / TILE_K4;
//! end
//! if !A_ALONG_K
  let k4 = at / TILE_M;
  let row = at % TILE_M;
//! end
  tile_a[k4 * TILE_M + row] = along_a(row_0 + row, k_0 + k4 * 4u);
}

fn slot_b(k4: u32, column: u32) -> u32 {
  return k4 * TILE_N + (column % GROUP_SIZE) * (TILE_N / GROUP_SIZE) + column / GROUP_SIZE;
}

/** Copies one part of B to workgroup memory: a vec4 along k, or four columns of them. */
fn stage_b(at: u32, tile_column: u32, k_0: u32) {
//! if B_QUADS
  let k4 = at / (TILE_N / 4u);
  let column = at % (TILE_N / 4u) * 4u;
//! for j in 0..4
  let step_$j = columns_b(tile_column + column, k_0 + k4 * 4u + ${j}u);
//! end
//! for q in 0..4
  tile_b[slot_b(k4, column + ${q}u)] = vec4f(step_0[$q], step_1[$q], step_2[$q], step_3[$q]);
//! end
//! end
//! if !B_QUADS
//! if B_ALONG_K
  let k4 = at % TILE_K4;
  let column = at / TILE_K4;
//! end
//! if !B_ALONG_K
  let k4 = at / TILE_N;
  let column = at % TILE_N;
//! end
  tile_b[slot_b(k4, column)] = along_b(tile_column + column, k_0 + k4 * 4u);
//! end
}
//! end

@compute @workgroup_size(THREADS)
fn main(
  @builtin(workgroup_id) part_group: vec3u,
  @builtin(local_invocation_index) lane: u32,
//! if SUBGROUP
  @builtin(subgroup_invocation_id) subgroup_lane: u32,
//! end
) {
  let group = group_of(part_group);
  let row_0 = group.y * TILE_M;
  let tile_column = group.x * TILE_N;
//! if SPLIT_K
  let slice = lane / THREADS_OUT;
  let thread = lane % THREADS_OUT;
//! end
//! if !SPLIT_K
  let thread = lane;
//! end
  let thread_row = thread / THREADS_N;
  let thread_column = thread % THREADS_N;
//! for c in 0..COLUMN_GROUPS
  let column_$c = tile_column + (${c}u * THREADS_N + thread_column) * GROUP_SIZE;
//! end
//! if SUBGROUP
  let part = subgroup_lane % SUBGROUP;
//! end
//! for e in 0..ROW_BLOCKS
//! for h in 0..BLOCK_QUADS
//! for q in 0..4
//! for c in 0..COLUMN_GROUPS
//! for p in 0..GROUP_SIZE
  var sum_${e}_${h}_${q}_${c}_${p} = 0.0;
//! end
//! end
//! end
//! end
//! end

//! if STAGED
//! if NF4
  if (lane < 16u) { codebook[lane] = codebook_value(lane); }
  workgroupBarrier();
//! end
  for (var k_0 = 0u; k_0 < params.k; k_0 += TILE_K) {
//! for l in 0..LOADS_A
    if (${l}u * THREADS + lane < ITEMS_A) { stage_a(${l}u * THREADS + lane, row_0, k_0); }
//! end
//! for l in 0..LOADS_B
    if (${l}u * THREADS + lane < ITEMS_B) { stage_b(${l}u * THREADS + lane, tile_column, k_0); }
//! end
    workgroupBarrier();
//! if SPLIT_K
    for (var k4 = slice * (TILE_K4 / SPLIT); k4 < (slice + 1u) * (TILE_K4 / SPLIT); k4++) {
//! end
//! if !SPLIT_K
    for (var k4 = 0u; k4 < TILE_K4; k4++) {
//! end
//! for c in 0..COLUMN_GROUPS
//! for p in 0..GROUP_SIZE
      let b_${c}_${p} = tile_b[k4 * TILE_N + ${p}u * (TILE_N / GROUP_SIZE) + ${c}u * THREADS_N + thread_column];
//! end
//! end
//! end
//! if !STAGED
//! if HOISTED_SCALE
  for (var k_0 = 0u; k_0 < params.k; k_0 += 64u) {
//! for c in 0..COLUMN_GROUPS
//! for p in 0..GROUP_SIZE
    let scale_${c}_${p} = scale_of(index_b(min(column_$c + ${p}u, params.n - 1u), k_0) >> 6u);
//! end
//! end
    for (var k = k_0; k < k_0 + 64u; k += 4u) {
//! end
//! if !HOISTED_SCALE
  {
    for (var k = 0u; k < params.k; k += 4u) {
//! end
//! if SHARED_SCALE
      let scale = scale_of(index_b(tile_column, min(k + part % 4u, params.k - 1u)) >> 6u);
//! for j in 0..4
      let scale_$j = subgroupBroadcast(scale, ${j}u);
//! end
//! end
//! for c in 0..COLUMN_GROUPS
//! if B_QUADS
//! for j in 0..4
//! if SHARED_SCALE
      let step_${c}_$j = columns_b(column_$c, k + ${j}u) * scale_$j;
//! end
//! if !SHARED_SCALE
      let step_${c}_$j = columns_b(column_$c, k + ${j}u);
//! end
//! end
//! for p in 0..4
      let b_${c}_${p} = vec4f(step_${c}_0[$p], step_${c}_1[$p], step_${c}_2[$p], step_${c}_3[$p]);
//! end
//! end
//! if !B_QUADS
//! for p in 0..GROUP_SIZE
//! if HOISTED_SCALE
      let b_${c}_${p} = four_values(index_b(min(column_$c + ${p}u, params.n - 1u), k)) * scale_${c}_${p};
//! end
//! if !HOISTED_SCALE
      let b_${c}_${p} = along_b(column_$c + ${p}u, k);
//! end
//! end
//! end
//! end
//! end

//! for e in 0..ROW_BLOCKS
//! if SUBGROUP
//! if A_QUADS
      let block_$e = rows_a(row_0 + ${e}u * SUBGROUP + part % BLOCK_QUADS * 4u, k + part / BLOCK_QUADS);
//! end
//! if !A_QUADS
      let block_$e = along_a(row_0 + ${e}u * SUBGROUP + part, k);
//! end
//! end
//! for h in 0..BLOCK_QUADS
//! if A_QUADS
//! for j in 0..4
//! if SUBGROUP
      let rows_${e}_${h}_$j = subgroupBroadcast(block_$e, ${j}u * BLOCK_QUADS + ${h}u);
//! end
//! if !SUBGROUP
      let rows_${e}_${h}_$j = rows_a(row_0 + (${e}u * BLOCK_QUADS + ${h}u) * 4u, k + ${j}u);
//! end
//! end
//! end
//! for q in 0..4
      {
//! if A_QUADS
        let a_4 = vec4f(rows_${e}_${h}_0[$q], rows_${e}_${h}_1[$q], rows_${e}_${h}_2[$q], rows_${e}_${h}_3[$q]);
//! end
//! if !A_QUADS
//! if STAGED
        let a_4 = tile_a[k4 * TILE_M + ((${e}u * BLOCK_QUADS + ${h}u) * 4u + ${q}u) * THREADS_M + thread_row];
//! end
//! if !STAGED
//! if SUBGROUP
        let a_4 = subgroupBroadcast(block_$e, ${h}u * 4u + ${q}u);
//! end
//! if !SUBGROUP
        let a_4 = along_a(row_0 + (${e}u * BLOCK_QUADS + ${h}u) * 4u + ${q}u, k);
//! end
//! end
//! end
//! for c in 0..COLUMN_GROUPS
//! for p in 0..GROUP_SIZE
//! for j in 0..4
        sum_${e}_${h}_${q}_${c}_${p} = fma(a_4[$j], b_${c}_${p}[$j], sum_${e}_${h}_${q}_${c}_${p});
//! end
//! end
//! end
      }
//! end
//! end
//! end
    }
//! if STAGED
    workgroupBarrier();
//! end
  }

//! if SPLIT_K
//! for s in 1..SPLIT
  if (slice == ${s}u) {
//! for e in 0..ROW_BLOCKS
//! for q in 0..4
//! for c in 0..COLUMN_GROUPS
//! for p in 0..GROUP_SIZE
    partial[(((${e}u * 4u + ${q}u) * COLUMN_GROUPS + ${c}u) * GROUP_SIZE + ${p}u) * THREADS_OUT + thread] = sum_${e}_0_${q}_${c}_${p};
//! end
//! end
//! end
//! end
  }
  workgroupBarrier();
  if (slice == 0u) {
//! for e in 0..ROW_BLOCKS
//! for q in 0..4
//! for c in 0..COLUMN_GROUPS
//! for p in 0..GROUP_SIZE
    sum_${e}_0_${q}_${c}_${p} += partial[(((${e}u * 4u + ${q}u) * COLUMN_GROUPS + ${c}u) * GROUP_SIZE + ${p}u) * THREADS_OUT + thread];
//! end
//! end
//! end
//! end
  }
  workgroupBarrier();
//! end
  if (slice > 0u) { return; }
//! end
//! for e in 0..ROW_BLOCKS
//! for h in 0..BLOCK_QUADS
//! for q in 0..4
  {
    let row = row_0 + ((${e}u * BLOCK_QUADS + ${h}u) * 4u + ${q}u) * THREADS_M + thread_row;
//! for c in 0..COLUMN_GROUPS
//! if VEC_OUT
    write_four(row, column_$c, vec4f(
//! for p in 0..4
      sum_${e}_${h}_${q}_${c}_${p},
//! end
    ));
//! end
//! if !VEC_OUT
//! for p in 0..GROUP_SIZE
    write(row, column_$c + ${p}u, sum_${e}_${h}_${q}_${c}_${p});
//! end
//! end
//! end
  }
//! end
//! end
//! end
}

//! if VEC_OUT
fn write_four(row: u32, column: u32, sum: vec4f) {
  if (row < params.m && column < params.n) {
    let at = (row * params.n + column) / 4u;
    var value = params.alpha * sum;
//! if BIAS
    value += vec4f(bias[column], bias[column + 1u], bias[column + 2u], bias[column + 3u]);
//! end
//! if ACCUMULATE
    value += out[at];
//! end
    out[at] = value;
  }
}
//! end
//! if !VEC_OUT
fn write(row: u32, column: u32, sum: f32) {
  if (row < params.m && column < params.n) {
    let at = row * params.n + column;
    var value = params.alpha * sum;
//! if BIAS
    value += bias[column];
//! end
//! if ACCUMULATE
    value += out[at];
//! end
    out[at] = value;
  }
}
//! end
