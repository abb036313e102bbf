/**
 * Attention: work is proportional to the pairs of a query and a key that it sees. Per pair, query head and value of a head:
 * forward 2 products (q·k, p·v), dq 3 (q·k, dOut·v, ds·k), dk and dv 4 (k·q, v·dOut, p·dOut, ds·q), of 2 FLOPs each.
 */
import type { RecordedDispatch } from "../fake_gpu/recorded.ts";
import { type CostOf, indicesOf, type KernelCost, spanOf, valueOf, WORD } from "./kernel_cost.ts";

/** Rows and columns of a tile (tile.wgsl). */
const [TILE_ROWS, TILE_COLUMNS] = [32, 64];

/** The range that each row of the scores sees, as columns. */
type Ranges = readonly (readonly [start: number, end: number])[];

/** The rows of the scores, and the heads among them, that a dispatch computes. */
interface Covered {
  readonly from: number;
  readonly to: number;
  readonly headCount: number;
}

/** Tiles: queries, or keys, along x and heads along y; narrow heads: both along x, of which the whole heads' share counts. */
function coveredBy(
  dispatch: RecordedDispatch,
  rows: number,
  headsAlong: "headCount" | "kvHeadCount",
): Covered {
  const heads = valueOf(dispatch.params, headsAlong);
  if (isTiled(dispatch)) {
    const [from, to] = spanOf(dispatch, "X", TILE_ROWS, rows);
    const [first, end] = spanOf(dispatch, "Y", 1, heads);
    return { from, to, headCount: end - first };
  }
  const { constants } = dispatch;
  const rowsEach = valueOf(constants, headsAlong === "kvHeadCount" ? "KEYS" : "QUERIES");
  const [from, to] = spanOf(dispatch, "X", valueOf(constants, "LANES"), Math.ceil(rows / rowsEach) * heads);
  return { from: 0, to: rows, headCount: heads * (to - from) / (Math.ceil(rows / rowsEach) * heads) };
}

const isTiled = ({ kernel }: RecordedDispatch) => kernel.startsWith("attention_tile");

/** FLOPs of `products` products, for the seen pairs and for the tiles that hold them. */
function workOf(dispatch: RecordedDispatch, ranges: Ranges, products: number, { headCount }: Covered) {
  const perPair = 2 * products * valueOf(dispatch.constants, "HEAD_DIM") * headCount;
  const pairs = ranges.reduce((sum, [start, end]) => sum + end - start, 0);
  let tiled = 0;
  for (let row = 0; row < ranges.length; row += TILE_ROWS) {
    const tile = ranges.slice(row, row + TILE_ROWS);
    const start = tile.reduce((least, range) => Math.min(least, range[0]), Infinity);
    const end = tile.reduce((most, range) => Math.max(most, range[1]), 0);
    tiled += TILE_ROWS * Math.ceil((end - start) / TILE_COLUMNS) * TILE_COLUMNS;
  }
  return { flops: perPair * pairs, issuedFlops: perPair * (isTiled(dispatch) ? tiled : pairs) };
}

/** Bytes of `rows` rows of the covered heads. */
function bytesOfRows({ constants }: RecordedDispatch, rows: number, headCount: number): number {
  return WORD * rows * headCount * valueOf(constants, "HEAD_DIM");
}

/** Queries of the covered heads, and what they see of the keys: of their own heads alone. */
const ofQueries = (dispatch: RecordedDispatch, rows: number, { from, to, headCount }: Covered) => {
  const { params } = dispatch;
  const query = bytesOfRows(dispatch, to - from, headCount);
  const keyHeads = headCount * valueOf(params, "kvHeadCount") / valueOf(params, "headCount");
  return {
    query,
    keyValue: bytesOfRows(dispatch, rows, keyHeads),
    perHead: WORD * (to - from) * headCount,
    indices: WORD * (to - from),
  };
};

const forward: CostOf = (dispatch) => {
  const rows = valueOf(dispatch.params, "queryCount");
  const covered = coveredBy(dispatch, rows, "headCount");
  const { from, to } = covered;
  const starts = indicesOf(dispatch, "keyStarts", rows).subarray(from, to);
  const ends = indicesOf(dispatch, "keyEnds", rows).subarray(from, to);
  const work = workOf(dispatch, Array.from(starts, (start, t) => [start, ends[t]!] as const), 2, covered);
  const { query, keyValue, perHead, indices } = ofQueries(dispatch, rows, covered);
  return {
    kind: "attention, forward",
    ...work,
    reads: { q: query, k: keyValue, v: keyValue, keyStarts: indices, keyEnds: indices },
    writes: { out: query, lse: perHead },
  };
};

const dq: CostOf = (dispatch): KernelCost => {
  const rows = valueOf(dispatch.params, "tokenCount");
  const covered = coveredBy(dispatch, rows, "headCount");
  const { from, to } = covered;
  const starts = indicesOf(dispatch, "keyStarts", rows).subarray(from, to);
  const ranges = Array.from(starts, (start, t) => [start, from + t + 1] as const);
  const work = workOf(dispatch, ranges, 3, covered);
  const { query, keyValue, perHead, indices } = ofQueries(dispatch, rows, covered);
  return {
    kind: "attention, dq",
    ...work,
    reads: { q: query, k: keyValue, v: keyValue, out: query, dOut: query, lse: perHead, keyStarts: indices },
    writes: { dq: query, delta: perHead },
  };
};

const dkv: CostOf = (dispatch): KernelCost => {
  const { params } = dispatch;
  const rows = valueOf(params, "tokenCount");
  const covered = coveredBy(dispatch, rows, "kvHeadCount");
  const { from, to, headCount: keyHeads } = covered;
  const heads = keyHeads * valueOf(params, "headCount") / valueOf(params, "kvHeadCount");
  const ends = indicesOf(dispatch, "queryEnds", rows).subarray(from, to);
  const ranges = Array.from(ends, (end, t) => [from + t, end] as const);
  const work = workOf(dispatch, ranges, 4, { ...covered, headCount: heads });
  const query = bytesOfRows(dispatch, rows, heads);
  const keyValue = bytesOfRows(dispatch, to - from, keyHeads);
  const perHead = WORD * rows * heads;
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
      queryEnds: WORD * (to - from),
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
