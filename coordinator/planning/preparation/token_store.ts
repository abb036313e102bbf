/**
 * The tokens of a dataset while it is prepared: in memory as long as they are few, then in a file. Of each document, a few
 * numbers stay in memory, which is what packing needs.
 */
import { countExampleLabels, type Example } from "../../../shared/data/packing/example.ts";
import { LoraFleetError, messageOf } from "../../../shared/errors.ts";
import type { PackedRows } from "./packed_rows.ts";
import { floatBits, floatOf, SPAN_WORDS, spansAt, wordsOf } from "./weight_spans.ts";

/** Tokens that are written or kept at once. */
const CHUNK_TOKENS = 2 ** 20;
/** About 84 MB; more goes to the disk. */
const MAX_CHUNKS_IN_MEMORY = 16;
const MAX_TOKENS = 0xffff_ffff;

/** A list of 32-bit numbers that grows. */
export class Numbers {
  #values = new Uint32Array(1024);
  length = 0;

  push(value: number): void {
    this.set(this.length, value);
  }

  /** Places between the last one and `index` become 0. */
  set(index: number, value: number): void {
    if (index >= this.#values.length) {
      const grown = new Uint32Array(Math.max(index + 1, 2 * this.#values.length));
      grown.set(this.#values);
      this.#values = grown;
    }
    this.#values[index] = value;
    this.length = Math.max(this.length, index + 1);
  }

  at(index: number): number {
    return this.#values[index]!;
  }

  toArray(from = 0, to = this.length): Uint32Array<ArrayBuffer> {
    return this.#values.slice(from, to);
  }
}

interface Chunk {
  readonly tokens: Uint32Array<ArrayBuffer>;
  readonly mask: Uint8Array<ArrayBuffer>;
}

const newChunk = (): Chunk => ({
  tokens: new Uint32Array(CHUNK_TOKENS),
  mask: new Uint8Array(CHUNK_TOKENS),
});

/** Dispose of it to remove its files. */
export class TokenStore implements Disposable {
  readonly #folder: string | null;
  readonly #maxChunks: number;
  #chunks: Chunk[] = [newChunk()];
  #files: { readonly tokens: SpoolFile; readonly mask: SpoolFile } | null = null;
  /** Tokens that the chunks' first one has before it, because they are in the files. */
  #spooled = 0;
  #tokenCount = 0;
  /** By document: its first token, how many it has, how many of these have a label, its line. */
  readonly starts = new Numbers();
  readonly lengths = new Numbers();
  readonly labels = new Numbers();
  readonly lines = new Numbers();
  /** The bits of each weight in f32; 0, or no entry, for 1. */
  readonly #weights = new Numbers();
  /** As `PackedRows.weightSpans`; by document: where its spans end among all. */
  readonly #spans = new Numbers();
  readonly #spanEnds = new Numbers();

  /** @param folder for files; null keeps everything in memory */
  constructor(folder: string | null, maxChunks = MAX_CHUNKS_IN_MEMORY) {
    this.#folder = folder;
    this.#maxChunks = maxChunks;
  }

  /** Returns the document's index. Throws a `LoraFleetError`: `invalid_dataset` for too many tokens, `storage`. */
  add(example: Example): number {
    const { tokens, completionMask, lines = [], weight = 1, weightSpans = [] } = example;
    if (this.#tokenCount + tokens.length > MAX_TOKENS) {
      const message =
        `the dataset has more than ${MAX_TOKENS} tokens; split the training file and train on one part after the other`;
      throw new LoraFleetError("invalid_dataset", message, { param: "training_file" });
    }
    this.starts.push(this.#tokenCount);
    this.lengths.push(tokens.length);
    this.labels.push(countExampleLabels(example));
    this.lines.push(lines[0] ?? 0);
    if (weight !== 1) this.#weights.set(this.lines.length - 1, floatBits(weight));
    for (const number of weightSpans.flatMap(wordsOf)) this.#spans.push(number);
    this.#spanEnds.push(this.#spans.length / SPAN_WORDS);
    for (let from = 0; from < tokens.length;) {
      const used = (this.#tokenCount - this.#spooled) % CHUNK_TOKENS;
      const count = Math.min(tokens.length - from, CHUNK_TOKENS - used);
      const chunk = this.#chunks.at(-1)!;
      chunk.tokens.set(tokens.subarray(from, from + count), used);
      chunk.mask.set(completionMask.subarray(from, from + count), used);
      from += count;
      this.#tokenCount += count;
      if (used + count === CHUNK_TOKENS) this.#endChunk();
    }
    return this.starts.length - 1;
  }

  /** A document as it was added. */
  example(document: number): Example {
    const [at, length] = [this.starts.at(document), this.lengths.at(document)];
    const [tokens, completionMask] = [new Uint32Array(length), new Uint8Array(length)];
    this.readTokens(at, tokens);
    this.readMask(at, completionMask);
    const spans = this.#spansOf(document);
    return { tokens, completionMask, ...spansAt(spans), lines: [this.lines.at(document)] };
  }

  /** As in `PackedRows`; without fields if no document has a span. */
  spansOf(documents: Uint32Array): Pick<PackedRows, "weightSpans" | "weightSpanStarts"> {
    if (this.#spans.length === 0) return {};
    const [spans, starts] = [new Numbers(), new Uint32Array(documents.length + 1)];
    documents.forEach((document, at) => {
      for (const number of this.#spansOf(document)) spans.push(number);
      starts[at + 1] = spans.length / SPAN_WORDS;
    });
    return spans.length === 0 ? {} : { weightSpans: spans.toArray(), weightSpanStarts: starts };
  }

  #spansOf(document: number): Uint32Array {
    const first = document === 0 ? 0 : this.#spanEnds.at(document - 1);
    return this.#spans.toArray(SPAN_WORDS * first, SPAN_WORDS * this.#spanEnds.at(document));
  }

  /** The weights of documents; null if all are 1. */
  weightsOf(documents: Uint32Array): Float32Array | null {
    if (this.#weights.length === 0) return null;
    const weights = Float32Array.from(documents, (document) => {
      const bits = document < this.#weights.length ? this.#weights.at(document) : 0;
      return bits === 0 ? 1 : floatOf(bits);
    });
    return weights.every((weight) => weight === 1) ? null : weights;
  }

  /** Copies the tokens from the place `at` on. */
  readTokens(at: number, into: Uint32Array<ArrayBuffer>): void {
    this.#read("tokens", at, into);
  }

  /** Copies the completion mask of the tokens from the place `at` on. */
  readMask(at: number, into: Uint8Array<ArrayBuffer>): void {
    this.#read("mask", at, into);
  }

  [Symbol.dispose](): void {
    this.#files?.tokens.close();
    this.#files?.mask.close();
    this.#files = null;
    this.#chunks = [];
  }

  #read(part: keyof Chunk, at: number, into: Uint32Array<ArrayBuffer> | Uint8Array<ArrayBuffer>): void {
    const fromFile = Math.max(0, Math.min(into.length, this.#spooled - at));
    if (fromFile > 0) this.#files![part].read(at, into.subarray(0, fromFile));
    for (let done = fromFile; done < into.length;) {
      const place = at + done - this.#spooled;
      const offset = place % CHUNK_TOKENS;
      const source = this.#chunks[Math.floor(place / CHUNK_TOKENS)]![part];
      const count = Math.min(into.length - done, CHUNK_TOKENS - offset);
      into.set(source.subarray(offset, offset + count), done);
      done += count;
    }
  }

  /** A full chunk stays in memory, or all of them go to the files. */
  #endChunk(): void {
    if (this.#folder === null || this.#chunks.length < this.#maxChunks) {
      this.#chunks.push(newChunk());
      return;
    }
    this.#files ??= { tokens: new SpoolFile(this.#folder), mask: new SpoolFile(this.#folder) };
    for (const { tokens, mask } of this.#chunks) {
      this.#files.tokens.append(tokens);
      this.#files.mask.append(mask);
    }
    this.#spooled = this.#tokenCount;
    this.#chunks = [newChunk()];
  }
}

/** A file without a name where the system allows it: it is gone with the process, however that ends. */
class SpoolFile {
  readonly #file: Deno.FsFile;
  readonly #path: string | null;

  constructor(folder: string) {
    const path = onDisk(() => Deno.makeTempFileSync({ dir: folder, suffix: ".part" }));
    this.#file = onDisk(() => Deno.openSync(path, { read: true, write: true }));
    let isRemoved = true;
    try {
      Deno.removeSync(path);
    } catch {
      isRemoved = false;
    }
    this.#path = isRemoved ? null : path;
  }

  append(values: Uint32Array<ArrayBuffer> | Uint8Array<ArrayBuffer>): void {
    const bytes = bytesOf(values);
    onDisk(() => {
      this.#file.seekSync(0, Deno.SeekMode.End);
      for (let at = 0; at < bytes.length;) at += this.#file.writeSync(bytes.subarray(at));
    });
  }

  /** Reads values from the place `at` of the file on. */
  read(at: number, into: Uint32Array<ArrayBuffer> | Uint8Array<ArrayBuffer>): void {
    const bytes = bytesOf(into);
    onDisk(() => {
      this.#file.seekSync(at * into.BYTES_PER_ELEMENT, Deno.SeekMode.Start);
      for (let done = 0; done < bytes.length;) {
        const count = this.#file.readSync(bytes.subarray(done));
        if (count === null) throw new Error("the file of tokens is shorter than what was written");
        done += count;
      }
    });
  }

  close(): void {
    this.#file.close();
    if (this.#path !== null) Deno.removeSync(this.#path);
  }
}

const bytesOf = ({ buffer, byteOffset, byteLength }: Uint32Array<ArrayBuffer> | Uint8Array<ArrayBuffer>) =>
  new Uint8Array(buffer, byteOffset, byteLength);

function onDisk<T>(work: () => T): T {
  try {
    return work();
  } catch (thrown) {
    const message = `cannot keep the tokens of the dataset on the disk: ${messageOf(thrown)}`;
    throw new LoraFleetError("storage", message, { cause: thrown });
  }
}
