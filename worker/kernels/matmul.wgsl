// out = alpha · A · B (+ bias) (+ out): one tile of TILE_M × TILE_N a workgroup, THREAD_M × THREAD_N elements a thread.
//
// A workgroup walks along k in steps of TILE_K. Each step's part of A and of B lies in workgroup memory as vec4s along
// k, [TILE_K / 4][TILE_M or TILE_N]: neighbouring threads read neighbouring vec4s, and NF4, whose codes are packed
// along a row of the weight, is decoded four values at a time. The loader writes zeros beyond the edges, so that the
// inner loops know no bounds. Each element of `out` adds its products in the order of k, whatever its place in the
// tile: the same row gives the same bits anywhere in the micro-batch.
//
// A_ALONG_K: A is [m, k], else [k, m]. B_ALONG_K: B is [n, k], else [k, n]. NF4: B is decoded from `codes`.

const K4 = TILE_K / 4u;
const THREADS_N = TILE_N / THREAD_N;
const THREADS_M = TILE_M / THREAD_M;
const THREADS = THREADS_M * THREADS_N;

var<workgroup> tile_a: array<vec4f, K4 * TILE_M>;
var<workgroup> tile_b: array<vec4f, K4 * TILE_N>;

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

//! if NF4
/** The codebook of training.md. */
const CODEBOOK = array<f32, 16>(
  -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453,
  -0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0.0,
  0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
  0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
);
var<workgroup> codebook: array<f32, 16>;

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

/** Element `at` of the flat weight. The even element of a byte is its high nibble. */
fn value_b(at: u32) -> f32 {
  let code = (codes[at >> 3u] >> (((at & 7u) ^ 1u) * 4u)) & 15u;
  return codebook[code] * scale_of(at >> 6u);
}
//! end
//! if !NF4
fn value_b(at: u32) -> f32 { return b[at]; }
//! end

/** Four values of A along k; zeros beyond its edges. */
fn read_a(row: u32, k: u32) -> vec4f {
  var value = vec4f();
  if (row < params.m) {
//! for j in 0..4
    if (k + ${j}u < params.k) { value[$j] = a[index_a(row, k + ${j}u)]; }
//! end
  }
  return value;
}

/** Four values of B along k; zeros beyond its edges. */
fn read_b(column: u32, k: u32) -> vec4f {
  var value = vec4f();
  if (column < params.n) {
//! for j in 0..4
    if (k + ${j}u < params.k) { value[$j] = value_b(index_b(column, k + ${j}u)); }
//! end
  }
  return value;
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row_0 = group.y * TILE_M;
  let column_0 = group.x * TILE_N;
  let thread_row = lane / THREADS_N;
  let thread_column = lane % THREADS_N;
//! for i in 0..THREAD_M
//! for j in 0..THREAD_N
  var sum_${i}_${j} = 0.0;
//! end
//! end
//! if NF4
  if (lane < 16u) {
    var table = CODEBOOK;
    codebook[lane] = table[lane];
  }
  workgroupBarrier();
//! end

  for (var k_0 = 0u; k_0 < params.k; k_0 += TILE_K) {
    for (var at = lane; at < K4 * TILE_M; at += THREADS) {
//! if A_ALONG_K
      let k4 = at % K4;
      let row = at / K4;
//! end
//! if !A_ALONG_K
      let k4 = at / TILE_M;
      let row = at % TILE_M;
//! end
      tile_a[k4 * TILE_M + row] = read_a(row_0 + row, k_0 + k4 * 4u);
    }
    for (var at = lane; at < K4 * TILE_N; at += THREADS) {
//! if B_ALONG_K
      let k4 = at % K4;
      let column = at / K4;
//! end
//! if !B_ALONG_K
      let k4 = at / TILE_N;
      let column = at % TILE_N;
//! end
      tile_b[k4 * TILE_N + column] = read_b(column_0 + column, k_0 + k4 * 4u);
    }
    workgroupBarrier();
    for (var k4 = 0u; k4 < K4; k4++) {
//! for i in 0..THREAD_M
      let a_$i = tile_a[k4 * TILE_M + ${i}u * THREADS_M + thread_row];
//! end
//! for j in 0..THREAD_N
      let b_$j = tile_b[k4 * TILE_N + ${j}u * THREADS_N + thread_column];
//! end
//! for i in 0..THREAD_M
//! for j in 0..THREAD_N
      sum_${i}_${j} = fma(a_$i.x, b_${j}.x, sum_${i}_${j});
      sum_${i}_${j} = fma(a_$i.y, b_${j}.y, sum_${i}_${j});
      sum_${i}_${j} = fma(a_$i.z, b_${j}.z, sum_${i}_${j});
      sum_${i}_${j} = fma(a_$i.w, b_${j}.w, sum_${i}_${j});
//! end
//! end
    }
    workgroupBarrier();
  }

//! for i in 0..THREAD_M
//! for j in 0..THREAD_N
  write(row_0 + ${i}u * THREADS_M + thread_row, column_0 + ${j}u * THREADS_N + thread_column, sum_${i}_${j});
//! end
//! end
}

fn write(row: u32, column: u32, sum: f32) {
  if (row >= params.m || column >= params.n) { return; }
  let at = row * params.n + column;
  var value = params.alpha * sum;
  if (params.with_bias != 0u) { value += bias[column]; }
  if (params.accumulate != 0u) { value += out[at]; }
  out[at] = value;
}
