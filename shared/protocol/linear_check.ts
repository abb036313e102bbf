/**
 * A linear checksum of integers: that of a sum is the sum of the addends' checksums (decision 0019). So a round's result
 * can be compared with what its members report they gave, without any one of them having all of it.
 *
 *     c_k(x) = Σ_i w_k(i) · x_i  mod 2^32,  k = 1, 2,    w_k(i) = t_k(i mod 64) · m_k(⌊i / 64⌋)
 *
 * t_k is a table and m_k a hash of the block's number, both from the seed. A block's inner loop is two products and two sums an
 * element. All t_1 and m_k are odd: one wrong element, whatever the bit, always changes c_1. Two wrong elements or more go
 * unseen by both with a chance of 2^-64, or 1/2 where they differ in the sign bit alone and in an even number.
 */
import { pcg32 } from "../prng.ts";

/** Elements that share a block's factor; a checksum begins at a multiple of it. */
export const CHECK_BLOCK = 64;
/** A round of more members reports only totals: three checksums for each pair of members would be megabytes a step. */
export const MAX_LOCALISED_MEMBERS = 256;
/** 32-bit words of one checksum. */
export const CHECK_WORDS = 2;

/** The weights of one seed. */
export interface CheckWeights {
  readonly tables: readonly [Int32Array, Int32Array];
  readonly seeds: readonly [number, number];
}

/** @param seed an unsigned integer of 32 bits */
export function checkWeights(seed: number): CheckWeights {
  const random = pcg32(seed, 0x5eed);
  const first = Int32Array.from({ length: CHECK_BLOCK }, () => random.uint32() | 1);
  const second = Int32Array.from({ length: CHECK_BLOCK }, () => random.uint32());
  return { tables: [first, second], seeds: [random.uint32(), random.uint32()] };
}

/**
 * Adds the checksum of `values`, the elements from `offset` on, to two words of `into`.
 * @param offset a multiple of 64
 * @param at the first of the two words
 */
export function addChecksum(
  { tables: [first, second], seeds }: CheckWeights,
  offset: number,
  values: Int32Array,
  into: Int32Array,
  at = 0,
): void {
  let [one, two] = [0, 0];
  const [seedOne, seedTwo] = seeds;
  let block = offset / CHECK_BLOCK;
  for (let start = 0; start < values.length; start += CHECK_BLOCK, block++) {
    const count = Math.min(CHECK_BLOCK, values.length - start);
    let [a, b] = [0, 0];
    for (let i = 0; i < count; i++) {
      const value = values[start + i]!;
      a = a + Math.imul(first[i]!, value) | 0;
      b = b + Math.imul(second[i]!, value) | 0;
    }
    one = one + Math.imul(factorOf(block, seedOne), a) | 0;
    two = two + Math.imul(factorOf(block, seedTwo), b) | 0;
  }
  into[at] = into[at]! + one | 0;
  into[at + 1] = into[at + 1]! + two | 0;
}

/** Odd, and well mixed: the last steps of MurmurHash3 (Appleby, public domain). */
function factorOf(block: number, seed: number): number {
  let hash = block + seed | 0;
  hash = Math.imul(hash ^ hash >>> 16, 0x85eb_ca6b);
  hash = Math.imul(hash ^ hash >>> 13, 0xc2b2_ae35);
  return (hash ^ hash >>> 16) | 1;
}

/** Adds one checksum to another, both of two words. */
export function addWords(into: Int32Array, at: number, words: Int32Array, from: number): void {
  for (let word = 0; word < CHECK_WORDS; word++) into[at + word] = into[at + word]! + words[from + word]! | 0;
}

export function sameWords(a: Int32Array, at: number, b: Int32Array, from: number): boolean {
  return a[at] === b[from] && a[at + 1] === b[from + 1];
}

/** The sum of a list of checksums. */
export function sumOfWords(words: Int32Array): Int32Array {
  const sum = new Int32Array(CHECK_WORDS);
  for (let at = 0; at < words.length; at += CHECK_WORDS) addWords(sum, 0, words, at);
  return sum;
}
