/**
 * A dataset's packed rows as a few flat arrays: as objects, millions of rows would take ten times the memory and keep the garbage
 * collector busy while steps are planned.
 */
import type { Example } from "../../../shared/data/packing/example.ts";
import type { PackedRow } from "../../../shared/data/packing/packing.ts";
import { LoraFleetError } from "../../../shared/errors.ts";
import { flattenSpans, SPAN_WORDS, spansAt } from "./weight_spans.ts";

/** D documents in R rows, T tokens in all. Each `…Starts` has one entry more than there are items, for the end. */
export interface RowIndex {
  /** Index in `tokens` of each document's first token [D + 1]. */
  readonly documentStarts: Uint32Array;
  /** Index of each row's first document [R + 1]. */
  readonly rowStarts: Uint32Array;
  /** Lines of the training file (1-based) in each document, end to end. */
  readonly lines: Uint32Array;
  /** Index in `lines` of each document's first line [D + 1]. */
  readonly lineStarts: Uint32Array;
  /** As `Example.weight` [D]; left out: all 1. */
  readonly documentWeights?: Float32Array;
  /** `Example.weightSpans` of all documents, end to end: start, end, and the weight's bits in f32 [3 · S]; left out: none. */
  readonly weightSpans?: Uint32Array;
  /** Index of each document's first span among all of them [D + 1]. */
  readonly weightSpanStarts?: Uint32Array;
}

export interface PackedRows extends RowIndex {
  /** Token ids of all documents, end to end, in the order of their rows [T]. */
  readonly tokens: Uint32Array;
  /** As `Example.completionMask` [T]. */
  readonly completionMask: Uint8Array;
}

/** Rows whose tokens are read where they lie: a gigabyte of text has more than a gigabyte of them. */
export interface StoredRows extends RowIndex {
  /** Tokens [from, to) and their mask. */
  slice(from: number, to: number): Pick<PackedRows, "tokens" | "completionMask">;
}

/** Packed rows that are written rather than held, since a dataset may be larger than the memory. */
export interface RowStream extends RowIndex {
  readonly tokenCount: number;
  /** In blocks of any length, anew for each call. */
  tokens(): Iterable<Uint32Array>;
  completionMask(): Iterable<Uint8Array>;
}

export function streamRows({ tokens, completionMask, ...rest }: PackedRows): RowStream {
  return {
    ...rest,
    tokenCount: tokens.length,
    tokens: () => [tokens],
    completionMask: () => [completionMask],
  };
}

export function collectRows(stream: RowStream): PackedRows {
  const { tokens, completionMask, tokenCount, ...rows } = stream;
  const collect = <T extends Uint32Array | Uint8Array>(whole: T, blocks: Iterable<T>): T => {
    let at = 0;
    for (const block of blocks) {
      whole.set(block, at);
      at += block.length;
    }
    return whole;
  };
  return {
    ...rows,
    tokens: collect(new Uint32Array(tokenCount), tokens()),
    completionMask: collect(new Uint8Array(tokenCount), completionMask()),
  };
}

/** Rows in memory, to be read as stored ones: their arrays are views. */
export function heldRows<T extends PackedRows>(rows: T): T & StoredRows {
  return {
    ...rows,
    slice: (from, to) => ({
      tokens: rows.tokens.subarray(from, to),
      completionMask: rows.completionMask.subarray(from, to),
    }),
  };
}

/** Throws a `LoraFleetError` with code `invalid_dataset` for more tokens than 32 bits can count. */
export function flattenRows(rows: readonly PackedRow[]): PackedRows {
  const documents = rows.flatMap((row) => row.documents);
  const documentStarts = startsOf(documents, ({ tokens }) => tokens.length);
  const lineStarts = startsOf(documents, ({ lines = [] }) => lines.length);
  const tokens = new Uint32Array(documentStarts.at(-1)!);
  const completionMask = new Uint8Array(tokens.length);
  const lines = new Uint32Array(lineStarts.at(-1)!);
  documents.forEach((document, index) => {
    tokens.set(document.tokens, documentStarts[index]!);
    completionMask.set(document.completionMask, documentStarts[index]!);
    lines.set(document.lines ?? [], lineStarts[index]!);
  });
  const rowStarts = startsOf(rows, (row) => row.documents.length);
  const flat = { tokens, completionMask, documentStarts, rowStarts, lines, lineStarts };
  const weights = Float32Array.from(documents, ({ weight = 1 }) => weight);
  const documentWeights = weights.every((weight) => weight === 1) ? {} : { documentWeights: weights };
  return { ...flat, ...documentWeights, ...flattenSpans(documents) };
}

function startsOf<T>(items: readonly T[], sizeOf: (item: T) => number): Uint32Array {
  const starts = new Uint32Array(items.length + 1);
  let at = 0;
  items.forEach((item, index) => {
    at += sizeOf(item);
    if (at > 0xffff_ffff) {
      const message =
        `the dataset has more than ${0xffff_ffff} tokens; split the training file and train on one part after the other`;
      throw new LoraFleetError("invalid_dataset", message, { param: "training_file" });
    }
    starts[index + 1] = at;
  });
  return starts;
}

export function rowCountOf({ rowStarts }: Pick<RowIndex, "rowStarts">): number {
  return rowStarts.length - 1;
}

/** Tokens of each row [R]. */
export function rowLengthsOf({ rowStarts, documentStarts }: RowIndex): Uint32Array {
  const lengths = new Uint32Array(rowStarts.length - 1);
  for (let row = 0; row < lengths.length; row++) {
    lengths[row] = documentStarts[rowStarts[row + 1]!]! - documentStarts[rowStarts[row]!]!;
  }
  return lengths;
}

/** Tokens of the longest document. */
export function longestDocumentOf({ documentStarts }: Pick<RowIndex, "documentStarts">): number {
  let longest = 0;
  for (let document = 1; document < documentStarts.length; document++) {
    longest = Math.max(longest, documentStarts[document]! - documentStarts[document - 1]!);
  }
  return longest;
}

export function documentAt(rows: StoredRows, document: number): Example {
  const { documentStarts, documentWeights, weightSpans, weightSpanStarts: spanStarts } = rows;
  return {
    ...rows.slice(documentStarts[document]!, documentStarts[document + 1]!),
    ...documentWeights === undefined ? {} : { weight: documentWeights[document]! },
    ...weightSpans === undefined ? {} : spansAt(weightSpans.subarray(
      SPAN_WORDS * spanStarts![document]!,
      SPAN_WORDS * spanStarts![document + 1]!,
    )),
    lines: [...linesAt(rows, document)],
  };
}

function linesAt({ lines, lineStarts }: RowIndex, document: number): Uint32Array {
  return lines.subarray(lineStarts[document]!, lineStarts[document + 1]!);
}

export function rowAt(rows: StoredRows, row: number): PackedRow {
  return { documents: documentsAt(rows, row).map((document) => documentAt(rows, document)) };
}

/** Lines of the training file in these rows (1-based), in order, each once. */
export function linesOfRows(rows: RowIndex, indices: readonly number[]): number[] {
  const documents = indices.flatMap((row) => documentsAt(rows, row));
  return [...new Set(documents.flatMap((document) => [...linesAt(rows, document)]))].sort((a, b) => a - b);
}

function documentsAt({ rowStarts }: RowIndex, row: number): number[] {
  const [first, end] = [rowStarts[row]!, rowStarts[row + 1]!];
  return Array.from({ length: end - first }, (_, index) => first + index);
}
