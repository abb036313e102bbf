/**
 * Documents → rows of at most `maxLength` tokens → micro-batches. The strategies are TRL's (`pack_dataset` in
 * trl/data_utils.py), over the whole dataset instead of a thousand documents at a time.
 */
import { IGNORE_INDEX, type MicroBatch } from "./micro_batch.ts";
import type { Example } from "./example.ts";
import { createSpaceTree } from "./space_tree.ts";

/** Documents that lie in one row. They do not see each other: positions restart, attention is block-diagonal. */
export interface PackedRow {
  readonly documents: readonly Example[];
}

type PackingStrategy = "none" | "bfd" | "wrapped";

/**
 * Packs in the order given, always the same way. Documents without tokens are left out. With "bfd" and "none" no
 * document may be longer than `maxLength`: throws a `RangeError`, since cutting it is for the caller to decide.
 */
export function packRows(
  documents: readonly Example[],
  strategy: PackingStrategy,
  maxLength: number,
): PackedRow[] {
  const filled = documents.filter(({ tokens }) => tokens.length > 0);
  if (strategy === "wrapped") return packWrapped(filled, maxLength);
  for (const { tokens } of filled) {
    if (tokens.length > maxLength) {
      throw new RangeError(`packing: a document of ${tokens.length} tokens, rows of ${maxLength}`);
    }
  }
  return strategy === "bfd"
    ? packBestFit(filled, maxLength)
    : filled.map((document) => ({ documents: [document] }));
}

function packBestFit(documents: readonly Example[], maxLength: number): PackedRow[] {
  const { order, rowStarts } = packLengths(
    Uint32Array.from(documents, ({ tokens }) => tokens.length),
    maxLength,
  );
  return Array.from({ length: rowStarts.length - 1 }, (_, row) => ({
    documents: Array.from(order.subarray(rowStarts[row], rowStarts[row + 1]), (index) => documents[index]!),
  }));
}

/** Documents by their index, row after row; `rowStarts` has one entry more than there are rows. */
export interface PackedOrder {
  readonly order: Uint32Array;
  readonly rowStarts: Uint32Array;
}

/**
 * Best-fit decreasing: the longest document first, each into the row with the least space that still takes it; among
 * rows of equal space the one that got there first; a new row if none has space. O(n log maxLength).
 * @param lengths of the documents, each from 1 to `maxLength`
 */
export function packLengths(lengths: Uint32Array, maxLength: number): PackedOrder {
  const none = 0xffff_ffff;
  /** The documents of a row are a list: its first and last, and for each document the next one. */
  const first = new Uint32Array(lengths.length);
  const last = new Uint32Array(lengths.length);
  const next = new Uint32Array(lengths.length).fill(none);
  const rowsWithSpace = createSpaceTree<number>(maxLength);
  let rowCount = 0;
  for (const document of longestFirst(lengths, maxLength)) {
    const length = lengths[document]!;
    const found = rowsWithSpace.takeSmallest(length);
    const row = found?.item ?? rowCount++;
    if (found === null) first[row] = document;
    else next[last[row]!] = document;
    last[row] = document;
    const space = (found?.space ?? maxLength) - length;
    if (space > 0) rowsWithSpace.add(space, row);
  }
  const order = new Uint32Array(lengths.length);
  const rowStarts = new Uint32Array(rowCount + 1);
  let at = 0;
  for (let row = 0; row < rowCount; row++) {
    for (let document = first[row]!; document !== none; document = next[document]!) order[at++] = document;
    rowStarts[row + 1] = at;
  }
  return { order, rowStarts };
}

/** Documents by descending length, and in their own order among equals. */
function longestFirst(lengths: Uint32Array, maxLength: number): Uint32Array {
  /** Where the next document of a length goes. */
  const places = new Uint32Array(maxLength + 2);
  for (const length of lengths) places[length - 1]!++;
  let at = 0;
  for (let length = maxLength; length > 0; length--) {
    const count = places[length - 1]!;
    places[length - 1] = at;
    at += count;
  }
  const sorted = new Uint32Array(lengths.length);
  lengths.forEach((length, document) => sorted[places[length - 1]!++] = document);
  return sorted;
}

/**
 * All documents as one stream, cut every `maxLength` tokens: each row is one segment whose documents see each other,
 * as in the libraries.
 */
function packWrapped(documents: readonly Example[], maxLength: number): PackedRow[] {
  const stream = joinExamples(documents);
  const rows: PackedRow[] = [];
  /** The first document that reaches into the row, and where it begins. */
  let [first, firstStart] = [0, 0];
  for (let at = 0; at < stream.tokens.length; at += maxLength) {
    const end = at + maxLength;
    while (firstStart + documents[first]!.tokens.length <= at) {
      firstStart += documents[first++]!.tokens.length;
    }
    const lines: number[] = [];
    for (let i = first, start = firstStart; i < documents.length && start < end; i++) {
      lines.push(...documents[i]!.lines ?? []);
      start += documents[i]!.tokens.length;
    }
    const [tokens, completionMask] = [
      stream.tokens.subarray(at, end),
      stream.completionMask.subarray(at, end),
    ];
    rows.push({ documents: [{ tokens, completionMask, lines }] });
  }
  return rows;
}

function joinExamples(documents: readonly Example[]): Example {
  const length = documents.reduce((sum, { tokens }) => sum + tokens.length, 0);
  const joined = { tokens: new Uint32Array(length), completionMask: new Uint8Array(length) };
  let at = 0;
  for (const { tokens, completionMask } of documents) {
    joined.tokens.set(tokens, at);
    joined.completionMask.set(completionMask, at);
    at += tokens.length;
  }
  return joined;
}

export function rowLength(row: PackedRow): number {
  return row.documents.reduce((sum, { tokens }) => sum + tokens.length, 0);
}

/** In f32, and above 0: two tiny weights do not make a label without one. */
const SMALLEST_WEIGHT = 2 ** -126;

/**
 * Lays rows end to end. A token's label is the next token of its document, where that one is trained; a document's
 * last token has none.
 */
export function toMicroBatch(rows: readonly PackedRow[]): MicroBatch {
  const documents = rows.flatMap((row) => row.documents);
  const { tokens } = joinExamples(documents);
  const labels = new Int32Array(tokens.length).fill(IGNORE_INDEX);
  const positions = new Uint32Array(tokens.length);
  const segmentStarts = new Uint32Array(tokens.length);
  const isWeighted = documents.some(({ weight = 1, weightSpans }) =>
    weight !== 1 || weightSpans !== undefined
  );
  const weights = isWeighted ? new Float32Array(tokens.length) : null;
  let start = 0;
  for (const { tokens: own, completionMask, weight = 1, weightSpans = [] } of documents) {
    weights?.fill(weight, start, start + own.length);
    // The label of a token is the next one.
    for (const span of weightSpans) {
      const product = Math.max(weight * span.weight, SMALLEST_WEIGHT);
      weights?.fill(product, start + Math.max(0, span.start - 1), start + span.end - 1);
    }
    segmentStarts.fill(start, start, start + own.length);
    for (let t = 0; t < own.length; t++) {
      positions[start + t] = t;
      if (t > 0 && completionMask[t] === 1) labels[start + t - 1] = own[t]!;
    }
    start += own.length;
  }
  return { tokens, labels, positions, segmentStarts, ...weights === null ? {} : { weights } };
}

/** The documents of a micro-batch, by the inverse of `toMicroBatch`: a label belongs to the token after it. Without weights. */
export function documentsIn({ tokens, labels, segmentStarts }: MicroBatch): Example[] {
  const documents: Example[] = [];
  for (let start = 0, end = 0; start < tokens.length; start = end) {
    while (end < tokens.length && segmentStarts[end] === start) end++;
    const completionMask = new Uint8Array(end - start);
    for (let t = start; t + 1 < end; t++) completionMask[t + 1 - start] = Number(labels[t] !== IGNORE_INDEX);
    documents.push({ tokens: tokens.slice(start, end), completionMask });
  }
  return documents;
}
