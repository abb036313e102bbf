/** The template constants of matmul.wgsl, explained at its head. */
import type { TemplateConstants } from "../../device/template.ts";
import { type FloatFormat, halfConstants } from "../elementwise/half_floats.ts";
import { type MatmulShape, type Tile, tileSize } from "./tile.ts";

/** The operands in memory. */
interface OperandLayout {
  readonly aAlongK: boolean;
  readonly bAlongK: boolean;
  /** Of B's numbers; left out: "f32". */
  readonly bFormat?: FloatFormat;
  /** B is an NF4 weight. */
  readonly nf4?: { readonly doubleQuantized: boolean };
}

export function tileConstants(
  tile: Tile,
  { m, n, k }: MatmulShape,
  { aAlongK, bAlongK, bFormat = "f32", nf4 }: OperandLayout,
): TemplateConstants {
  const { staged, subgroup, threadsM, threadsN, threadM, columnGroups, groupSize, tileK, split } = tile;
  const threads = threadsM * threadsN * split;
  const { rows, columns } = tileSize(tile);
  const rowLengthB = bAlongK ? k : n;
  // Across k, a vec4 is four rows or columns; for a staged tile, neighbouring threads load f32 faster one by one.
  const isPacked = nf4 !== undefined || bFormat !== "f32";
  const vecA = aAlongK ? k % 4 === 0 : !staged && m % 4 === 0;
  const vecB = rowLengthB % (nf4 ? 8 : 4) === 0 && (bAlongK || (groupSize === 4 && (!staged || isPacked)));
  const bQuads = vecB && !bAlongK;
  const itemsA = rows * tileK / 4;
  const itemsB = columns * tileK / 4 / (bQuads ? 4 : 1);
  return {
    STAGED: staged,
    SUBGROUP: subgroup,
    THREADS: threads,
    THREADS_M: threadsM,
    THREADS_N: threadsN,
    TILE_M: rows,
    TILE_N: columns,
    TILE_K: tileK,
    SPLIT: split,
    SPLIT_K: split > 1,
    ROW_BLOCKS: threadM / (subgroup || 4),
    BLOCK_QUADS: (subgroup || 4) / 4,
    COLUMN_GROUPS: columnGroups,
    GROUP_SIZE: groupSize,
    ITEMS_A: itemsA,
    ITEMS_B: itemsB,
    LOADS_A: Math.ceil(itemsA / threads),
    LOADS_B: Math.ceil(itemsB / threads),
    A_ALONG_K: aAlongK,
    B_ALONG_K: bAlongK,
    VEC_A: vecA,
    VEC_B: vecB,
    VEC_OUT: groupSize === 4 && n % 4 === 0,
    A_QUADS: vecA && !aAlongK,
    B_QUADS: bQuads,
    ...halfConstants(bFormat),
    NF4: nf4 !== undefined,
    DOUBLE_QUANTIZED: nf4?.doubleQuantized ?? false,
    HOISTED_SCALE: nf4 !== undefined && !staged && bAlongK && k % 64 === 0,
    SHARED_SCALE: nf4 !== undefined && subgroup > 0 && bQuads && n % 64 === 0 && 64 % columns === 0,
  };
}
