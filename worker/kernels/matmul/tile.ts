/** Chooses how to tile a product of matrices, by its shape and the processor; matmul.wgsl explains the names. */
import type { Processor } from "../../device/processor.ts";

export interface Tile {
  /** Operands pass through workgroup memory. */
  readonly staged: boolean;
  /** Lanes that share A's rows by broadcasting, 0: none. Only if not `staged`, in workgroups of one row of threads. */
  readonly subgroup: 0 | 4 | 8;
  readonly threadsM: number;
  readonly threadsN: number;
  /** Rows per thread: a multiple of 4, and of `subgroup`. */
  readonly threadM: number;
  /** Columns per thread: `columnGroups` groups of `groupSize` neighbours. */
  readonly columnGroups: number;
  readonly groupSize: 1 | 2 | 4;
  /** Steps of k in workgroup memory; a multiple of 4 · `split`. */
  readonly tileK: number;
  /** Threads that share the sum of an element; 1 unless `staged`. */
  readonly split: number;
}

export interface MatmulShape {
  readonly m: number;
  readonly n: number;
  readonly k: number;
}

const STAGED = { staged: true, subgroup: 0, groupSize: 4, tileK: 16, split: 1 } as const;

/** GPUs, from large to small. Workgroup memory: (128 + 64) · 16 · 4 bytes = 12 KiB at most. */
const GPU_128_64: Tile = { ...STAGED, threadsM: 16, threadsN: 8, threadM: 8, columnGroups: 2 };
const GPU_64_64: Tile = { ...STAGED, threadsM: 8, threadsN: 16, threadM: 8, columnGroups: 1 };
const GPU_32_32: Tile = { ...STAGED, threadsM: 8, threadsN: 8, threadM: 4, columnGroups: 1 };
const GPU_TALL: Tile = { ...STAGED, threadsM: 16, threadsN: 4, threadM: 4, columnGroups: 1 };
const GPU_WIDE: Tile = { ...STAGED, threadsM: 4, threadsN: 16, threadM: 4, columnGroups: 1 };

/** A long sum over few elements, as in LoRA's gradients. Workgroup memory: (16 + 64) · 32 · 4 + 16 · 64 · 4 bytes = 14 KiB. */
const SPLIT = { tileK: 32, split: 4 } as const;
const LONG_K = 256;

/** Workgroups that keep a large GPU busy; with fewer, a smaller tile wins although it loads more. */
const BUSY_WORKGROUPS = 128;

/** The tile for out [m, n] = sums over k. */
export function chooseTile(shape: MatmulShape, processor: Processor): Tile {
  return processor.isCpu ? chooseCpuTile(shape, processor.subgroupSize) : chooseGpuTile(shape);
}

function chooseGpuTile(shape: MatmulShape): Tile {
  const { m, n, k } = shape;
  const isBusy = (tile: Tile) => tileGrid(tile, shape).reduce((x, y) => x * y) >= BUSY_WORKGROUPS;
  if (Math.min(m, n) > 32) {
    const large = [GPU_128_64, GPU_64_64].find(isBusy);
    if (large !== undefined) return large;
  }
  const small = n <= 16 ? GPU_TALL : m <= 16 ? GPU_WIDE : GPU_32_32;
  return k >= LONG_K && !isBusy(small) ? { ...small, ...SPLIT } : small;
}

/** CPU drivers compute a row of threads as one vector, so a workgroup is one row and shares nothing. */
function chooseCpuTile({ m, n, k }: MatmulShape, subgroupSize: number): Tile {
  const subgroup = subgroupSize >= 8 ? 8 : subgroupSize >= 4 ? 4 : 0;
  const lanes = subgroup || 8;
  const groupSize = n <= lanes ? 1 : n <= 2 * lanes ? 2 : 4;
  const cpu = {
    staged: false,
    subgroup,
    threadsM: 1,
    threadsN: lanes,
    groupSize,
    tileK: 4,
    split: 1,
  } as const;
  if (subgroup === 0) {
    return { ...cpu, threadM: 8, columnGroups: n > 4 * lanes && n % 4 === 0 && k % 4 === 0 ? 2 : 1 };
  }
  return { ...cpu, threadM: m <= 8 ? 8 : m <= 16 ? 16 : 32, columnGroups: 1 };
}

/** Elements of the product in a workgroup's tile. */
export function tileSize(tile: Tile): { readonly rows: number; readonly columns: number } {
  return { rows: tile.threadsM * tile.threadM, columns: tile.threadsN * tile.columnGroups * tile.groupSize };
}

/** Workgroups along x and y. */
export function tileGrid(tile: Tile, { m, n }: MatmulShape): [number, number] {
  const { rows, columns } = tileSize(tile);
  return [Math.ceil(n / columns), Math.ceil(m / rows)];
}

/** Floating-point operations of the product, multiplications and additions. */
export function flopsOf({ m, n, k }: MatmulShape): number {
  return 2 * m * n * k;
}
