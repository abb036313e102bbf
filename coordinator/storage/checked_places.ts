/**
 * Places of a file that was read once, as a whole, and is read again bit by bit for as long as it is open: what is read again is
 * what it was then.
 */
import { crc32 } from "node:zlib";
import { LoraFleetError, messageOf } from "../../shared/errors.ts";

/** Checked at once: what a row of some thousand tokens takes. */
const BLOCK_BYTES = 2 ** 14;

/** Bytes that lie together in a file. */
export interface Place {
  /** Of the first byte. */
  readonly at: number;
  readonly size: number;
  /** CRC-32 of each block but the last, which may be shorter, and of the last. */
  readonly checksums: Uint32Array;
}

/** Collects a place's checksums. */
export class PlaceReader {
  readonly #checksums: Uint32Array;
  #crc = 0;
  #done = 0;
  readonly #at: number;
  readonly #size: number;

  constructor(at: number, size: number) {
    [this.#at, this.#size] = [at, size];
    this.#checksums = new Uint32Array(Math.ceil(size / BLOCK_BYTES));
  }

  /** The next bytes of the place, in order. */
  add(bytes: Uint8Array): void {
    for (let from = 0; from < bytes.length;) {
      const inBlock = this.#done % BLOCK_BYTES;
      const part = bytes.subarray(from, from + BLOCK_BYTES - inBlock);
      this.#crc = crc32(part, inBlock === 0 ? 0 : this.#crc);
      this.#checksums[Math.floor(this.#done / BLOCK_BYTES)] = this.#crc;
      from += part.length;
      this.#done += part.length;
    }
  }

  place(): Place {
    return { at: this.#at, size: this.#size, checksums: this.#checksums };
  }
}

/**
 * The bytes [from, to) of a place. Throws `storage` if the file cannot be read, or is no longer what it was.
 * @param readAt fills a buffer from a position of the file on
 */
export function readPlace(
  { at, size, checksums }: Place,
  from: number,
  to: number,
  readAt: (position: number, buffer: Uint8Array) => void,
): Uint8Array<ArrayBuffer> {
  const first = Math.floor(from / BLOCK_BYTES);
  const start = first * BLOCK_BYTES;
  const bytes = new Uint8Array(Math.min(size, Math.ceil(to / BLOCK_BYTES) * BLOCK_BYTES) - start);
  try {
    readAt(at + start, bytes);
    for (let done = 0; done < bytes.length; done += BLOCK_BYTES) {
      const block = bytes.subarray(done, done + BLOCK_BYTES);
      if (crc32(block) !== checksums[first + done / BLOCK_BYTES]) {
        throw new Error(`its bytes ${at + start + done} to ${at + start + done + block.length} have changed`);
      }
    }
  } catch (cause) {
    const message = `cannot read the prepared rows of the job from the disk: ${messageOf(cause)}`;
    throw new LoraFleetError("storage", message, { cause });
  }
  return bytes.slice(from - start, to - start);
}
