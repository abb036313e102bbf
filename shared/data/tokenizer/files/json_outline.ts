/**
 * JSON without its large parts, read piece by piece: a tokenizer.json is megabytes of vocabulary around a few rules, and parsing
 * all of it at once takes 10 ms per MiB in which nothing else runs.
 */

/** Containers from here on may be left out: in tokenizer.json, those within `model`. */
const OUTLINED_DEPTH = 3;
/** Larger ones are; a normalizer's table of half a megabyte is needed. */
const LARGE_BYTES = 2 ** 19;

const [QUOTE, BACKSLASH] = [0x22, 0x5c];
const isOpening = (byte: number) => byte === 0x7b || byte === 0x5b;
const isClosing = (byte: number) => byte === 0x7d || byte === 0x5d;

/**
 * The text, with an empty list or object in place of each large one in the third level. It is JSON if the text is; what was left out
 * may still be faulty, but ends where it should. Null if the outline has more than `maxBytes`.
 */
export async function readOutline(
  pieces: AsyncIterable<Uint8Array>,
  maxBytes: number,
): Promise<string | null> {
  const outline = new Outline(maxBytes);
  for await (const piece of pieces) {
    outline.add(piece);
    if (outline.keptBytes > maxBytes) return null;
  }
  return new TextDecoder().decode(outline.bytes());
}

class Outline {
  readonly #kept: Uint8Array;
  #length = 0;
  #depth = 0;
  #isInString = false;
  #isEscaped = false;
  /** Where the container lies in `#kept` that may turn out to be large; null outside of one. */
  #start: number | null = null;
  #isDropping = false;

  /** @param maxBytes of the outline; some more may be held for a while */
  constructor(maxBytes: number) {
    this.#kept = new Uint8Array(maxBytes + LARGE_BYTES + 1);
  }

  /** Without what may still be left out. */
  get keptBytes(): number {
    return this.#start ?? this.#length;
  }

  bytes(): Uint8Array {
    return this.#kept.subarray(0, this.#length);
  }

  add(piece: Uint8Array): void {
    for (const byte of piece) {
      const ends = !this.#isInString && isClosing(byte) && this.#depth === OUTLINED_DEPTH;
      if (ends) this.#isDropping = false;
      if (!this.#isDropping) this.#keep(byte);
      if (ends) this.#start = null;
      this.#follow(byte);
    }
  }

  #keep(byte: number): void {
    // Beyond its end nothing is written: then the outline is too large anyway.
    this.#kept[this.#length++] = byte;
    if (this.#start === null || this.#length - this.#start <= LARGE_BYTES) return;
    this.#length = this.#start + 1;
    this.#isDropping = true;
  }

  #follow(byte: number): void {
    if (this.#isInString) {
      if (this.#isEscaped) this.#isEscaped = false;
      else if (byte === BACKSLASH) this.#isEscaped = true;
      else if (byte === QUOTE) this.#isInString = false;
    } else if (byte === QUOTE) this.#isInString = true;
    else if (isOpening(byte)) {
      this.#depth++;
      if (this.#depth === OUTLINED_DEPTH) this.#start = this.#length - 1;
    } else if (isClosing(byte)) this.#depth--;
  }
}
