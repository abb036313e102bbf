/** Which chunks of a range there are, as a bitmap that can travel in an ack. */
export interface ChunkSet {
  /** False where it was in already. */
  add(chunk: number): boolean;
  has(chunk: number): boolean;
  readonly size: number;
  readonly isFull: boolean;
  /** Bit i of word w stands for chunk 32·w + i. Not to be changed. */
  readonly words: Int32Array;
}

export function createChunkSet(chunkCount: number): ChunkSet {
  const words = new Int32Array(Math.ceil(chunkCount / 32));
  let size = 0;
  const has = (chunk: number) => (words[chunk >> 5]! & (1 << (chunk & 31))) !== 0;
  return {
    add(chunk) {
      if (has(chunk)) return false;
      words[chunk >> 5]! |= 1 << (chunk & 31);
      size++;
      return true;
    },
    has,
    get size() {
      return size;
    },
    get isFull() {
      return size === chunkCount;
    },
    words,
  };
}

/** The set of a bitmap from the wire; null unless it has the words of so many chunks and no bit beyond them. */
export function chunkSetOf(words: Int32Array, chunkCount: number): ChunkSet | null {
  if (words.length !== Math.ceil(chunkCount / 32)) return null;
  const set = createChunkSet(chunkCount);
  for (let chunk = 0; chunk < 32 * words.length; chunk++) {
    if ((words[chunk >> 5]! & (1 << (chunk & 31))) === 0) continue;
    if (chunk >= chunkCount) return null;
    set.add(chunk);
  }
  return set;
}
