/** Which tokens of a store make which packed row: the layout is in memory, the tokens are read as they are written. */
import { packLengths } from "../../../shared/data/packing/packing.ts";
import type { RowStream } from "./packed_rows.ts";
import { Numbers, type TokenStore } from "./token_store.ts";

/** A run of tokens in the store. */
interface Piece {
  readonly at: number;
  readonly length: number;
}

interface Layout {
  readonly rows: RowStream;
  readonly rowCount: number;
  /** Tokens with a label. */
  readonly trainedTokenCount: number;
}

/** Tokens that are read and handed on at once. */
const BLOCK_TOKENS = 2 ** 18;

/**
 * As `packRows`, without rows that have no label: a row of a "wrapped" stream may be all prompt, and has no gradient then.
 * @param documents indices in the store, in the order of the dataset
 */
export function layOut(
  store: TokenStore,
  documents: Uint32Array,
  strategy: "none" | "bfd" | "wrapped",
  maxLength: number,
): Layout {
  const filled = documents.filter((document) => store.lengths.at(document) > 0);
  return strategy === "wrapped"
    ? layOutStream(store, filled, maxLength)
    : layOutDocuments(store, filled, strategy === "bfd" ? maxLength : null);
}

/** @param maxLength of a row; null: each document is a row */
function layOutDocuments(store: TokenStore, documents: Uint32Array, maxLength: number | null): Layout {
  const packed = maxLength === null
    ? {
      order: documents.map((_, index) => index),
      rowStarts: Uint32Array.from({ length: documents.length + 1 }, (_, row) => row),
    }
    : packLengths(documents.map((document) => store.lengths.at(document)), maxLength);
  const [order, rowStarts, documentStarts] = [new Numbers(), new Numbers(), new Numbers()];
  let [tokenCount, trainedTokenCount] = [0, 0];
  for (let row = 0; row + 1 < packed.rowStarts.length; row++) {
    const own = packed.order.subarray(packed.rowStarts[row]!, packed.rowStarts[row + 1]!)
      .map((index) => documents[index]!);
    const labels = own.reduce((sum, document) => sum + store.labels.at(document), 0);
    if (labels === 0) continue;
    trainedTokenCount += labels;
    rowStarts.push(order.length);
    for (const document of own) {
      order.push(document);
      documentStarts.push(tokenCount);
      tokenCount += store.lengths.at(document);
    }
  }
  const rowCount = rowStarts.length;
  rowStarts.push(order.length);
  documentStarts.push(tokenCount);
  function* pieces(): Generator<Piece> {
    for (let index = 0; index < order.length; index++) {
      const document = order.at(index);
      yield { at: store.starts.at(document), length: store.lengths.at(document) };
    }
  }
  const lines = Uint32Array.from({ length: order.length }, (_, index) => store.lines.at(order.at(index)));
  const documentWeights = store.weightsOf(order.toArray());
  const rows = {
    ...{ tokenCount, lines },
    ...documentWeights === null ? {} : { documentWeights },
    ...store.spansOf(order.toArray()),
    documentStarts: documentStarts.toArray(),
    rowStarts: rowStarts.toArray(),
    lineStarts: Uint32Array.from({ length: order.length + 1 }, (_, index) => index),
    ...blocksOf(store, tokenCount, pieces),
  };
  return { rows, rowCount, trainedTokenCount };
}

/** All documents as one stream, cut every `maxLength` tokens; each row is one document. */
function layOutStream(store: TokenStore, documents: Uint32Array, maxLength: number): Layout {
  const kept: { readonly pieces: readonly Piece[]; readonly length: number }[] = [];
  const [documentStarts, lines, lineStarts] = [new Numbers(), new Numbers(), new Numbers()];
  let [tokenCount, trainedTokenCount] = [0, 0];
  for (const { pieces, members } of cutStream(store, documents, maxLength)) {
    const length = pieces.reduce((sum, piece) => sum + piece.length, 0);
    const labels = countLabels(store, pieces, length);
    if (labels === 0) continue;
    kept.push({ pieces, length });
    documentStarts.push(tokenCount);
    lineStarts.push(lines.length);
    for (const document of members) lines.push(store.lines.at(document));
    tokenCount += length;
    trainedTokenCount += labels;
  }
  documentStarts.push(tokenCount);
  lineStarts.push(lines.length);
  function* pieces(): Generator<Piece> {
    for (const row of kept) yield* row.pieces;
  }
  const rows = {
    tokenCount,
    documentStarts: documentStarts.toArray(),
    rowStarts: Uint32Array.from({ length: kept.length + 1 }, (_, row) => row),
    lines: lines.toArray(),
    lineStarts: lineStarts.toArray(),
    ...blocksOf(store, tokenCount, pieces),
  };
  return { rows, rowCount: kept.length, trainedTokenCount };
}

/** The rows of a stream: their runs of tokens, joined where they lie side by side, and the documents that reach into them. */
function* cutStream(store: TokenStore, documents: Uint32Array, maxLength: number) {
  let pieces: Piece[] = [];
  let members: number[] = [];
  let space = maxLength;
  for (const document of documents) {
    const [start, length] = [store.starts.at(document), store.lengths.at(document)];
    for (let from = 0; from < length;) {
      const count = Math.min(space, length - from);
      const last = pieces.at(-1);
      const isNext = last !== undefined && last.at + last.length === start + from;
      if (isNext) pieces[pieces.length - 1] = { at: last.at, length: last.length + count };
      else pieces.push({ at: start + from, length: count });
      members.push(document);
      from += count;
      space -= count;
      if (space > 0) continue;
      yield { pieces, members };
      [pieces, members, space] = [[], [], maxLength];
    }
  }
  if (pieces.length > 0) yield { pieces, members };
}

/** As `countExampleLabels`: the first token of a row is never predicted. */
function countLabels(store: TokenStore, pieces: readonly Piece[], length: number): number {
  const mask = new Uint8Array(length);
  let done = 0;
  for (const piece of pieces) {
    store.readMask(piece.at, mask.subarray(done, done + piece.length));
    done += piece.length;
  }
  return mask.subarray(1).reduce((sum, trained) => sum + trained, 0);
}

/** The tokens and masks of pieces, in blocks. */
function blocksOf(
  store: TokenStore,
  tokenCount: number,
  pieces: () => Iterable<Piece>,
): Pick<RowStream, "tokens" | "completionMask"> {
  function* blocks<T extends Uint32Array<ArrayBuffer> | Uint8Array<ArrayBuffer>>(
    create: (length: number) => T,
    read: (at: number, into: T) => void,
  ): Generator<T> {
    let left = tokenCount;
    let block = create(Math.min(left, BLOCK_TOKENS));
    let used = 0;
    for (const { at, length } of pieces()) {
      for (let from = 0; from < length;) {
        const count = Math.min(length - from, block.length - used);
        read(at + from, block.subarray(used, used + count) as T);
        from += count;
        used += count;
        if (used < block.length) continue;
        yield block;
        left -= used;
        [block, used] = [create(Math.min(left, BLOCK_TOKENS)), 0];
      }
    }
  }
  return {
    tokens: () => blocks((length) => new Uint32Array(length), (at, into) => store.readTokens(at, into)),
    completionMask: () => blocks((length) => new Uint8Array(length), (at, into) => store.readMask(at, into)),
  };
}
