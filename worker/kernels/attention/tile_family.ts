/** Wide heads: tiles of rows pass through workgroup memory. */
import type { AttentionFamily, AttentionGrid } from "./family.ts";
import tile from "./tile.wgsl" with { type: "text" };
import tileDkv from "./tile_dkv.wgsl" with { type: "text" };
import tileDots from "./tile_dots.wgsl" with { type: "text" };
import tileDq from "./tile_dq.wgsl" with { type: "text" };
import tileForward from "./tile_forward.wgsl" with { type: "text" };
import tileSums from "./tile_sums.wgsl" with { type: "text" };

/** Rows of a tile: ROWS in tile.wgsl. */
const TILE_ROWS = 32;
/** Invocations along a tile's columns (THREAD_COLUMNS in tile.wgsl); each has one vec4 of every part of a head. */
const TILE_THREAD_COLUMNS = 16;

export function tileFamily(headDim: number): AttentionFamily {
  const parts = Math.ceil(headDim / 4 / TILE_THREAD_COLUMNS);
  const step = [16, 8, 4, 4][parts - 1]!; // step · parts rows of the column tile, of which there are 16
  const groups: AttentionGrid = (rowCount, headCount) => [Math.ceil(rowCount / TILE_ROWS), headCount];
  const constants = { HEAD_PARTS: parts, SUM_STEP: step, SUM_STEP4: step / 4 };
  return {
    label: "attention_tile",
    scoreType: "vec4f",
    forward: tile + dots("s", "q", "k") + sums("out", "v") + tileForward,
    dq: tile + dots("s", "q", "k") + dots("dp", "dOut", "v") + sums("dq", "k") + tileDq,
    dkv: tile + dots("s", "k", "q") + dots("dp", "v", "dOut") + sums("dv", "dOut") + sums("dk", "q") +
      tileDkv,
    forwardConstants: { ...constants, ADD_WEIGHTS: true },
    backwardConstants: { ...constants, ADD_WEIGHTS: false },
    forwardGroups: groups,
    backwardGroups: groups,
  };
}

/** WGSL of `make_<result>`: result = left · rightᵀ of one tile. */
function dots(result: string, left: string, right: string): string {
  return tileDots.replaceAll("RESULT", result).replaceAll("LEFT", left).replaceAll("RIGHT", right);
}

/** WGSL of `add_to_<result>`: result += weights · values of one tile. */
function sums(result: string, values: string): string {
  return tileSums.replaceAll("RESULT", result).replaceAll("VALUES", values);
}
