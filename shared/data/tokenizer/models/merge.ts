/** The merges of byte pair encoding, in n log n steps for a word of n symbols. */
import type { PairTable } from "./pair_table.ts";

/** Above this many symbols a heap is faster than looking at all pairs for each merge. */
const MAX_SCANNED = 24;
const NONE = 0x7fffffff;

/**
 * @param ranks the rank of a pair of ids
 * @param results the id that the merge of a rank gives
 * @returns merges a word's ids; it may overwrite them. Merges that give an id of `never` are left out.
 */
export function createMerger(
  ranks: PairTable,
  results: Int32Array,
): (ids: number[], never: ReadonlySet<number> | null) => number[] {
  const rankOf = (left: number, right: number, never: ReadonlySet<number> | null): number => {
    const rank = ranks.get(left, right);
    return rank === -1 || (never !== null && never.has(results[rank]!)) ? NONE : rank;
  };
  return (ids, never) =>
    ids.length <= MAX_SCANNED
      ? mergeShort(ids, (left, right) => rankOf(left, right, never), results)
      : mergeLong(ids, (left, right) => rankOf(left, right, never), results);
}

type RankOf = (left: number, right: number) => number;

const scratch = new Int32Array(MAX_SCANNED);

function mergeShort(ids: number[], rankOf: RankOf, results: Int32Array): number[] {
  let length = ids.length;
  for (let i = 0; i + 1 < length; i++) scratch[i] = rankOf(ids[i]!, ids[i + 1]!);
  while (length > 1) {
    let best = NONE;
    let at = 0;
    for (let i = 0; i + 1 < length; i++) {
      if (scratch[i]! < best) {
        best = scratch[i]!;
        at = i;
      }
    }
    if (best === NONE) break;
    ids[at] = results[best]!;
    length--;
    for (let i = at + 1; i < length; i++) {
      ids[i] = ids[i + 1]!;
      scratch[i] = scratch[i + 1]!;
    }
    if (at > 0) scratch[at - 1] = rankOf(ids[at - 1]!, ids[at]!);
    if (at + 1 < length) scratch[at] = rankOf(ids[at]!, ids[at + 1]!);
  }
  ids.length = length;
  return ids;
}

/** Ranks below 2^23 and places below 2^30 make one exact number, ordered by rank, then by place. */
const PLACES = 2 ** 30;

function mergeLong(ids: number[], rankOf: RankOf, results: Int32Array): number[] {
  const symbols = Int32Array.from(ids);
  const next = Int32Array.from(ids, (_, i) => i + 1);
  const previous = Int32Array.from(ids, (_, i) => i - 1);
  const heap = new MinHeap(ids.length);
  const consider = (left: number): void => {
    const right = next[left]!;
    if (left < 0 || right >= symbols.length) return;
    const rank = rankOf(symbols[left]!, symbols[right]!);
    if (rank !== NONE) heap.push(rank * PLACES + left);
  };
  for (let i = 0; i + 1 < symbols.length; i++) consider(i);
  while (heap.size > 0) {
    const key = heap.pop();
    const left = key % PLACES;
    const rank = (key - left) / PLACES;
    const right = next[left]!;
    // Symbols that were merged away are negative, and a pair that changed has a different rank.
    if (symbols[left]! < 0 || right >= symbols.length) continue;
    if (rankOf(symbols[left]!, symbols[right]!) !== rank) continue;
    symbols[left] = results[rank]!;
    symbols[right] = -1;
    const after = next[right]!;
    next[left] = after;
    if (after < symbols.length) previous[after] = left;
    if (previous[left]! >= 0) consider(previous[left]!);
    consider(left);
  }
  return Array.from(symbols.filter((id) => id >= 0));
}

class MinHeap {
  #keys: Float64Array;
  size = 0;

  constructor(capacity: number) {
    this.#keys = new Float64Array(Math.max(16, capacity));
  }

  push(key: number): void {
    if (this.size === this.#keys.length) {
      const larger = new Float64Array(this.size * 2);
      larger.set(this.#keys);
      this.#keys = larger;
    }
    const keys = this.#keys;
    let at = this.size++;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (keys[parent]! <= key) break;
      keys[at] = keys[parent]!;
      at = parent;
    }
    keys[at] = key;
  }

  /** The heap must not be empty. */
  pop(): number {
    const keys = this.#keys;
    const smallest = keys[0]!;
    const key = keys[--this.size]!;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= this.size) break;
      if (child + 1 < this.size && keys[child + 1]! < keys[child]!) child++;
      if (keys[child]! >= key) break;
      keys[at] = keys[child]!;
      at = child;
    }
    keys[at] = key;
    return smallest;
  }
}
