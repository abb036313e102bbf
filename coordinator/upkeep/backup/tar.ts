/** Tar archives of plain files (POSIX.1-2001: ustar, and pax headers for what it cannot say), as a stream of bytes. */
import { LoraFleetError, quote } from "../../../shared/errors.ts";

const BLOCK = 512;
const MAX_USTAR_SIZE = 8 ** 11 - 1;
/** Of a pax header: two records. */
const MAX_PAX_BYTES = 64 * 1024;
const encoder = new TextEncoder();
const decoder = new TextDecoder();

export interface TarEntry {
  readonly path: string;
  readonly size: number;
  /** Exactly `size` bytes, to be read before the next entry. */
  readonly bytes: AsyncIterable<Uint8Array>;
}

/** The bytes of an archive. Throws what the entries' bytes throw, and `storage` if one has not the announced size. */
export async function* writeTar(entries: AsyncIterable<TarEntry>): AsyncGenerator<Uint8Array> {
  for await (const { path, size, bytes } of entries) {
    const isPlain = /^[\x21-\x7e][\x20-\x7e]{0,98}$/.test(path) && size <= MAX_USTAR_SIZE;
    if (!isPlain) {
      const records = encoder.encode(paxRecord("path", path) + paxRecord("size", String(size)));
      yield header("pax", records.length, "x");
      yield records;
      yield new Uint8Array(paddingOf(records.length));
    }
    yield header(isPlain ? path : "in-pax-header", size <= MAX_USTAR_SIZE ? size : 0, "0");
    let written = 0;
    for await (const chunk of bytes) {
      written += chunk.length;
      yield chunk;
    }
    if (written !== size) {
      const message = `${quote(path)} has changed while it was read: ${written} bytes instead of ${size}`;
      throw new LoraFleetError("storage", message);
    }
    yield new Uint8Array(paddingOf(size));
  }
  yield new Uint8Array(2 * BLOCK);
}

/**
 * The entries of an archive; each one's bytes have to be read before the next entry. Throws `corrupt` for a damaged header, or
 * an archive that ends too early.
 */
export async function* readTar(stream: AsyncIterable<Uint8Array>): AsyncGenerator<TarEntry> {
  const source = new Source(stream);
  let pax: Pick<TarEntry, "path" | "size"> | null = null;
  for (;;) {
    const block = await source.take(BLOCK);
    if (block.every((byte) => byte === 0)) return;
    const found = parseHeader(block, source.position - BLOCK);
    if (found.type === "x") {
      if (found.size > MAX_PAX_BYTES) throw damaged(source.position, "a pax header is too large");
      pax = parsePax(decoder.decode(await source.take(found.size)), source.position);
      await source.take(paddingOf(found.size));
      continue;
    }
    if (found.type !== "0") throw damaged(source.position, `an entry has the type ${quote(found.type)}`);
    const { path, size } = pax ?? found;
    pax = null;
    yield { path, size, bytes: source.chunks(size) };
    await source.take(paddingOf(size));
  }
}

function header(path: string, size: number, type: "0" | "x"): Uint8Array {
  const block = new Uint8Array(BLOCK);
  const put = (text: string, at: number) => block.set(encoder.encode(text), at);
  const octal = (value: number, digits: number) => `${value.toString(8).padStart(digits, "0")}\0`;
  put(path, 0);
  put(octal(0o600, 7), 100);
  put(octal(0, 7), 108);
  put(octal(0, 7), 116);
  put(octal(size, 11), 124);
  put(octal(0, 11), 136);
  put(" ".repeat(8), 148);
  put(type, 156);
  put("ustar\0" + "00", 257);
  put(`${sumOf(block).toString(8).padStart(6, "0")}\0 `, 148);
  return block;
}

function parseHeader(block: Uint8Array, at: number): { path: string; size: number; type: string } {
  const text = (from: number, length: number) =>
    decoder.decode(block.subarray(from, from + length)).split("\0")[0]!;
  const sum = parseInt(text(148, 8), 8);
  const blank = block.slice();
  blank.fill(32, 148, 156);
  if (sum !== sumOf(blank)) throw damaged(at, "there is no header of a file");
  return { path: text(0, 100), size: parseInt(text(124, 12), 8), type: text(156, 1) };
}

function sumOf(block: Uint8Array): number {
  return block.reduce((sum, byte) => sum + byte, 0);
}

/** `<length> key=value\n`, whose length counts its own digits. */
function paxRecord(key: string, value: string): string {
  const rest = encoder.encode(` ${key}=${value}\n`).length;
  let length = rest + String(rest).length;
  if (String(length).length > String(rest).length) length++;
  return `${length} ${key}=${value}\n`;
}

function parsePax(text: string, at: number): Pick<TarEntry, "path" | "size"> {
  const path = /^\d+ path=(.*)$/m.exec(text)?.[1];
  const size = /^\d+ size=(\d+)$/m.exec(text)?.[1];
  if (path === undefined || size === undefined) throw damaged(at, "a pax header is incomplete");
  return { path, size: Number(size) };
}

function paddingOf(size: number): number {
  return (BLOCK - size % BLOCK) % BLOCK;
}

function damaged(at: number, what: string): LoraFleetError {
  return new LoraFleetError("corrupt", `${what}, at byte ${at}`);
}

/** A stream from which a given number of bytes is taken at a time. */
class Source {
  position = 0;
  readonly #chunks: AsyncIterator<Uint8Array>;
  #rest = new Uint8Array(0);

  constructor(stream: AsyncIterable<Uint8Array>) {
    this.#chunks = stream[Symbol.asyncIterator]();
  }

  async take(count: number): Promise<Uint8Array> {
    const taken = new Uint8Array(count);
    let at = 0;
    for await (const chunk of this.chunks(count)) {
      taken.set(chunk, at);
      at += chunk.length;
    }
    return taken;
  }

  async *chunks(count: number): AsyncGenerator<Uint8Array> {
    for (let left = count; left > 0;) {
      if (this.#rest.length === 0) {
        const { done, value } = await this.#chunks.next();
        if (done === true) throw damaged(this.position, `it ends too early: ${left} bytes more were to come`);
        this.#rest = new Uint8Array(value);
        continue;
      }
      const piece = this.#rest.subarray(0, left);
      this.#rest = this.#rest.subarray(piece.length);
      left -= piece.length;
      this.position += piece.length;
      yield piece;
    }
  }
}
