/** A set of a range's chunks, as a bitmap that can travel in an ack. */
export class ChunkSet {
  readonly #chunkCount: number;
  #size = 0;
  /** Bit i of word w stands for chunk 32·w + i. Read-only. */
  readonly words: Int32Array;

  constructor(chunkCount: number) {
    this.#chunkCount = chunkCount;
    this.words = new Int32Array(Math.ceil(chunkCount / 32));
  }

  /** False if it was in already. */
  add(chunk: number): boolean {
    if (this.has(chunk)) return false;
    this.words[chunk >> 5]! |= 1 << (chunk & 31);
    this.#size++;
    return true;
  }

  has(chunk: number): boolean {
    return isSet(this.words, chunk);
  }

  get size(): number {
    return this.#size;
  }

  get isFull(): boolean {
    return this.#size === this.#chunkCount;
  }
}

const isSet = (words: Int32Array, bit: number): boolean => (words[bit >> 5]! & (1 << (bit & 31))) !== 0;

/** The set of a received bitmap; null unless that has the right size and no bit beyond the last chunk. */
export function chunkSetOf(words: Int32Array, chunkCount: number): ChunkSet | null {
  if (words.length !== Math.ceil(chunkCount / 32)) return null;
  const set = new ChunkSet(chunkCount);
  for (let chunk = 0; chunk < 32 * words.length; chunk++) {
    if (!isSet(words, chunk)) continue;
    if (chunk >= chunkCount) return null;
    set.add(chunk);
  }
  return set;
}
