/**
 * Attention: work is proportional to the pairs of a query and a key that it sees. Per pair, query head and value of a head:
 * forward 2 products (q·k, p·v), dq 3 (q·k, dOut·v, ds·k), dk and dv 4 (k·q, v·dOut, p·dOut, ds·q), of 2 FLOPs each.
 */
import type { RecordedDispatch } from "../fake_gpu/recorded.ts";
import { type CostOf, indicesOf, type KernelCost, valueOf, WORD } from "./kernel_cost.ts";

/** Rows and columns of a tile (tile.wgsl). */
const [TILE_ROWS, TILE_COLUMNS] = [32, 64];

/** The range that each row of the scores sees, as columns. */
type Ranges = readonly (readonly [start: number, end: number])[];

/** FLOPs of `products` products, for the seen pairs and for the tiles that hold them. */
function workOf({ kernel, constants, params }: RecordedDispatch, ranges: Ranges, products: number) {
  const perPair = 2 * products * valueOf(constants, "HEAD_DIM") * valueOf(params, "headCount");
  const pairs = ranges.reduce((sum, [start, end]) => sum + end - start, 0);
  let tiled = 0;
  for (let row = 0; row < ranges.length; row += TILE_ROWS) {
    const tile = ranges.slice(row, row + TILE_ROWS);
    const start = tile.reduce((least, range) => Math.min(least, range[0]), Infinity);
    const end = tile.reduce((most, range) => Math.max(most, range[1]), 0);
    tiled += TILE_ROWS * Math.ceil((end - start) / TILE_COLUMNS) * TILE_COLUMNS;
  }
  const isTiled = kernel.startsWith("attention_tile");
  return { flops: perPair * pairs, issuedFlops: perPair * (isTiled ? tiled : pairs) };
}

function sizesOf({ constants, params }: RecordedDispatch, rows: number) {
  const headDim = valueOf(constants, "HEAD_DIM");
  const headCount = valueOf(params, "headCount");
  return {
    query: WORD * rows * headCount * headDim,
    keyValue: WORD * rows * valueOf(params, "kvHeadCount") * headDim,
    perHead: WORD * rows * headCount,
    indices: WORD * rows,
  };
}

const forward: CostOf = (dispatch) => {
  const rows = valueOf(dispatch.params, "queryCount");
  const starts = indicesOf(dispatch, "keyStarts", rows);
  const ends = indicesOf(dispatch, "keyEnds", rows);
  const work = workOf(dispatch, Array.from(starts, (start, t) => [start, ends[t]!] as const), 2);
  const { query, keyValue, perHead, indices } = sizesOf(dispatch, rows);
  return {
    kind: "attention, forward",
    ...work,
    reads: { q: query, k: keyValue, v: keyValue, keyStarts: indices, keyEnds: indices },
    writes: { out: query, lse: perHead },
  };
};

const dq: CostOf = (dispatch): KernelCost => {
  const rows = valueOf(dispatch.params, "tokenCount");
  const starts = indicesOf(dispatch, "keyStarts", rows);
  const work = workOf(dispatch, Array.from(starts, (start, t) => [start, t + 1] as const), 3);
  const { query, keyValue, perHead, indices } = sizesOf(dispatch, rows);
  return {
    kind: "attention, dq",
    ...work,
    reads: { q: query, k: keyValue, v: keyValue, out: query, dOut: query, lse: perHead, keyStarts: indices },
    writes: { dq: query, delta: perHead },
  };
};

const dkv: CostOf = (dispatch): KernelCost => {
  const rows = valueOf(dispatch.params, "tokenCount");
  const ends = indicesOf(dispatch, "queryEnds", rows);
  const work = workOf(dispatch, Array.from(ends, (end, t) => [t, end] as const), 4);
  const { query, keyValue, perHead, indices } = sizesOf(dispatch, rows);
  return {
    kind: "attention, dk and dv",
    ...work,
    reads: {
      q: query,
      k: keyValue,
      v: keyValue,
      dOut: query,
      lse: perHead,
      delta: perHead,
      queryEnds: indices,
    },
    writes: { dk: keyValue, dv: keyValue },
  };
};

export const ATTENTION_COSTS: Readonly<Record<string, CostOf>> = {
  attention_rows: forward,
  attention_rows_dq: dq,
  attention_rows_dkv: dkv,
  attention_tile: forward,
  attention_tile_dq: dq,
  attention_tile_dkv: dkv,
};
