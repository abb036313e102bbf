/**
 * The mean of f32 values with the same bits as `torch.mean` on one CPU thread (AVX2 or AVX-512): bitsandbytes takes it as the
 * offset of double quantisation, and a different order of the sum would shift every absmax.
 *
 * The order of aten/src/ATen/native/cpu/SumKernel.cpp: 8 lanes of a vector, 4 such vectors side by side, and a cascade of 4
 * levels within each. With several threads torch splits more than 32,768 values differently; one thread is the reference.
 */
const LANES = 8;
const PARALLEL_ROWS = 4;
const LEVELS = 4;

/** @param values at least one */
export function meanF32(values: Float32Array): number {
  return Math.fround(sumF32(values) / values.length);
}

function sumF32(values: Float32Array): number {
  const vectors = Math.floor(values.length / LANES);
  // Fewer values than one vector are added as scalars, four side by side.
  if (vectors === 0) return sumRow(values, 1, values.length)[0]!;
  const lanes = sumRow(values, LANES, vectors);
  let total = 0;
  for (let i = vectors * LANES; i < values.length; i++) total = Math.fround(total + values[i]!);
  for (const lane of lanes) total = Math.fround(total + lane);
  return total;
}

/** Adds `count` vectors of `width` lanes: into four side by side, the remainder into the first, then the four together. */
function sumRow(values: Float32Array, width: number, count: number): Float32Array {
  const rows = Math.floor(count / PARALLEL_ROWS);
  const partial = cascadeSum(values, width * PARALLEL_ROWS, rows);
  const total = partial.subarray(0, width);
  for (let vector = rows * PARALLEL_ROWS; vector < count; vector++) {
    for (let lane = 0; lane < width; lane++) total[lane]! += values[vector * width + lane]!;
  }
  for (let row = 1; row < PARALLEL_ROWS; row++) {
    for (let lane = 0; lane < width; lane++) total[lane]! += partial[row * width + lane]!;
  }
  return total;
}

/** Adds `count` rows of `width` values; a level that is full is added to the next, so that errors grow with log n. */
function cascadeSum(values: Float32Array, width: number, count: number): Float32Array {
  const levelPower = Math.max(4, Math.floor(Math.ceil(Math.log2(Math.max(count, 1))) / LEVELS));
  const levelStep = 2 ** levelPower;
  const levels = Array.from({ length: LEVELS }, () => new Float32Array(width));
  const add = (from: number) => {
    for (let i = 0; i < width; i++) levels[0]![i]! += values[from + i]!;
  };
  let row = 0;
  while (row + levelStep <= count) {
    for (let step = 0; step < levelStep; step++, row++) add(row * width);
    for (let level = 1; level < LEVELS; level++) {
      const [lower, upper] = [levels[level - 1]!, levels[level]!];
      for (let i = 0; i < width; i++) upper[i]! += lower[i]!;
      lower.fill(0);
      if ((row & ((levelStep - 1) << (level * levelPower))) !== 0) break;
    }
  }
  for (; row < count; row++) add(row * width);
  for (let level = 1; level < LEVELS; level++) {
    for (let i = 0; i < width; i++) levels[0]![i]! += levels[level]![i]!;
  }
  return levels[0]!;
}
