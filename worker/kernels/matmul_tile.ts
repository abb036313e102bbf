/** Which tile a product of matrices is cut into, by its shape alone. */

/** A workgroup's tile and a thread's part of it, in elements of the product; `k` is the step along the sum. */
export interface Tile {
  readonly TILE_M: number;
  readonly TILE_N: number;
  readonly TILE_K: number;
  readonly THREAD_M: number;
  readonly THREAD_N: number;
}

const SMALL: Tile = { TILE_M: 16, TILE_N: 16, TILE_K: 16, THREAD_M: 2, THREAD_N: 2 };
const LARGE: Tile = { TILE_M: 64, TILE_N: 64, TILE_K: 16, THREAD_M: 4, THREAD_N: 4 };

/** The tile for a product [m, n] of sums over k. */
export function chooseTile(m: number, n: number): Tile {
  return m >= 48 && n >= 48 ? LARGE : SMALL;
}
