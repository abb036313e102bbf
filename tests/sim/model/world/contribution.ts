/**
 * What a micro-batch adds to a gradient, as a few words: integers that depend on its number alone, so that one that is missing
 * or there twice changes the sum, and the digest of this step and of all later ones.
 */
import { createHash } from "node:crypto";

/** 32-bit words of a sum; sums wrap, and 256 bits do not agree by chance. */
const WORDS = 8;

/** A worker's sums: the words, and the numbers of their micro-batches for the simulation's own books. */
export interface Sums {
  readonly words: Int32Array;
  readonly numbers: number[];
}

export function emptySums(): Sums {
  return { words: new Int32Array(WORDS), numbers: [] };
}

/** Adds a micro-batch to the sums. */
export function addMicroBatch({ words, numbers }: Sums, number: number): void {
  for (let word = 0; word < WORDS; word++) words[word]! += mixed(number * WORDS + word);
  numbers.push(number);
}

/** The sum over all members of a round. */
export function total(parts: Iterable<Sums>): Int32Array {
  const words = new Int32Array(WORDS);
  for (const part of parts) part.words.forEach((value, word) => words[word]! += value);
  return words;
}

/** Largest |gradient|: within the headroom of the exponents from step to step. */
export function maxAbsOf(number: number): Float32Array {
  return Float32Array.of(0.5 + (mixed(number) >>> 0) / 2 ** 33);
}

export function lossSumOf(number: number): number {
  return 1 + (mixed(~number) >>> 8) / 2 ** 24;
}

/** Digest of the state before the first step. */
export const INITIAL_DIGEST = createHash("sha256").update("the initial adapter").digest("hex");

/** Digest of the state that follows from a state and a step's total. */
export function digestAfter(before: string, words: Int32Array): string {
  return createHash("sha256").update(before).update(new Uint8Array(words.buffer)).digest("hex");
}

/** The digests of all steps of a job in which nothing goes wrong. */
export function undisturbedDigests(totalSteps: number, microBatchesPerStep: number): string[] {
  const digests: string[] = [];
  for (let step = 0; step < totalSteps; step++) {
    const sums = emptySums();
    for (let index = 0; index < microBatchesPerStep; index++) {
      addMicroBatch(sums, step * microBatchesPerStep + index);
    }
    digests.push(digestAfter(digests.at(-1) ?? INITIAL_DIGEST, sums.words));
  }
  return digests;
}

/** The words that a recovering worker loads: the state's digest stands for the state. */
export function wordsOfDigest(digest: string): Int32Array<ArrayBuffer> {
  return new Int32Array(Uint8Array.fromHex(digest).buffer);
}

export function digestOfWords(words: Int32Array): string {
  return new Uint8Array(words.buffer, words.byteOffset, words.byteLength).toHex();
}

/** MurmurHash3's finaliser: every bit of the number changes half of the result's. */
function mixed(number: number): number {
  let bits = Math.imul(number ^ 0x9e37_79b9, 0x85eb_ca6b);
  bits = Math.imul(bits ^ bits >>> 16, 0x85eb_ca6b);
  bits = Math.imul(bits ^ bits >>> 13, 0xc2b2_ae35);
  return bits ^ bits >>> 16;
}
