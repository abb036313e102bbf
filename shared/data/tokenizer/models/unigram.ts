/** Unigram language model: the pieces with the highest sum of scores (Kudo 2018), as `models/unigram` finds them. */
import { z } from "zod";
import { LoraFleetError } from "../../../errors.ts";
import { encodeCached, type Model } from "./model.ts";
import { PairTable } from "./pair_table.ts";

const unigramSchema = z.looseObject({
  vocab: z.array(z.tuple([z.string(), z.number()])).min(1),
  unk_id: z.int().min(0).nullish(),
  byte_fallback: z.boolean().nullish(),
});

/** How much worse than the worst piece an unknown character is. */
const UNKNOWN_PENALTY = 10;

/** The vocabulary as the search needs it; ids index `scores`. */
interface Lexicon {
  readonly trie: Trie;
  readonly scores: Float64Array;
  readonly unknownScore: number;
  /** Throws if the model has no unknown piece. */
  readonly needUnknown: () => number;
}

/** Throws a `LoraFleetError` with code `invalid_model`, or a `z.ZodError` for fields of a different shape. */
export function createUnigram(json: unknown): Model {
  const { vocab, unk_id: unknownId = null, byte_fallback: fallsBack } = unigramSchema.parse(json);
  const idOf = new Map(vocab.map(([piece], id) => [piece, id]));
  const scores = Float64Array.from(vocab, ([, score]) => asSerdeReads(score));
  if (unknownId !== null && unknownId >= vocab.length) {
    throw invalidModel(`model.unk_id is ${unknownId}, but model.vocab has ${vocab.length} entries`);
  }
  const unknownScore = scores.reduce((least, score) => Math.min(least, score), Infinity) - UNKNOWN_PENALTY;
  const needUnknown = (): number => {
    if (unknownId === null) throw invalidModel("a character is unknown, and model.unk_id is null");
    return unknownId;
  };
  const lexicon: Lexicon = { trie: createTrie(idOf), scores, unknownScore, needUnknown };
  const encodeWord = (text: string): readonly number[] =>
    piecesOf(text, bestPath(text, lexicon), unknownId).flatMap((piece) => {
      const id = idOf.get(piece);
      if (id !== undefined) return [id];
      return (fallsBack ? byteIds(piece, idOf) : null) ?? [needUnknown()];
    });
  return { type: "Unigram", idOf, encode: encodeCached(encodeWord) };
}

function byteIds(piece: string, idOf: ReadonlyMap<string, number>): number[] | null {
  const ids = Array.from(
    new TextEncoder().encode(piece),
    (byte) => idOf.get(`<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`),
  );
  return ids.every((id) => id !== undefined) ? ids : null;
}

/** By a piece's end: its beginning and its id, on the path with the highest score to there. */
interface Path {
  readonly startOf: Int32Array;
  readonly idOf: Int32Array;
}

function bestPath(text: string, { trie, scores, unknownScore, needUnknown }: Lexicon): Path {
  const bestScore = new Float64Array(text.length + 1);
  const startOf = new Int32Array(text.length + 1).fill(-1);
  const idOf = new Int32Array(text.length + 1);
  const offer = (end: number, start: number, score: number, id: number): void => {
    if (startOf[end] !== -1 && score <= bestScore[end]!) return;
    bestScore[end] = score;
    startOf[end] = start;
    idOf[end] = id;
  };
  for (let start = 0; start < text.length;) {
    const length = text.codePointAt(start)! > 0xffff ? 2 : 1;
    let hasSingle = false;
    let node = 0;
    for (let at = start; at < text.length; at++) {
      node = trie.next.get(node, text.charCodeAt(at));
      if (node === -1) break;
      const id = trie.pieces[node]!;
      if (id === -1) continue;
      offer(at + 1, start, scores[id]! + bestScore[start]!, id);
      if (at + 1 - start === length) hasSingle = true;
    }
    if (!hasSingle) offer(start + length, start, unknownScore + bestScore[start]!, needUnknown());
    start += length;
  }
  return { startOf, idOf };
}

/** The path's pieces in order; unknown characters in a row make one piece. */
function piecesOf(text: string, { startOf, idOf }: Path, unknownId: number | null): string[] {
  const pieces: string[] = [];
  let unknownEnd = -1;
  for (let end = text.length; end > 0;) {
    const start = startOf[end]!;
    const isUnknown = idOf[end] === unknownId;
    if (!isUnknown && unknownEnd !== -1) pieces.push(text.slice(end, unknownEnd));
    if (!isUnknown) pieces.push(text.slice(start, end));
    unknownEnd = !isUnknown ? -1 : unknownEnd === -1 ? end : unknownEnd;
    end = start;
  }
  if (unknownEnd !== -1) pieces.push(text.slice(0, unknownEnd));
  return pieces.reverse();
}

/**
 * The Rust library reads decimals by serde_json's fast way, digits as a whole number and then a division, which rounds
 * twice. A last bit of a score decides between sums that would be equal otherwise.
 */
function asSerdeReads(score: number): number {
  const [, sign, whole, fraction = "", exponent = "0"] =
    /^(-?)(\d+)(?:\.(\d+))?(?:e([+-]\d+))?$/.exec(String(score)) ?? [];
  if (whole === undefined) return score;
  const digits = Number(BigInt(whole + fraction));
  const power = Number(exponent) - fraction.length;
  const value = power < 0 ? digits / 10 ** -power : digits * 10 ** power;
  return sign === "-" ? -value : value;
}

/** Nodes by number, the root 0: the next one for a UTF-16 unit, and the id of the piece that ends there or -1. */
interface Trie {
  readonly next: PairTable;
  readonly pieces: readonly number[];
}

function createTrie(idOf: ReadonlyMap<string, number>): Trie {
  const next = new PairTable(idOf.size * 4);
  const pieces = [-1];
  for (const [piece, id] of idOf) {
    let node = 0;
    for (let at = 0; at < piece.length; at++) {
      const unit = piece.charCodeAt(at);
      let child = next.get(node, unit);
      if (child === -1) {
        child = pieces.length;
        pieces.push(-1);
        next.set(node, unit, child);
      }
      node = child;
    }
    if (node !== 0) pieces[node] = id;
  }
  return { next, pieces };
}

function invalidModel(what: string): LoraFleetError {
  return new LoraFleetError("invalid_model", `tokenizer.json: ${what}`, { param: "tokenizer.json" });
}
