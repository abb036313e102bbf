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

/** Throws a `LoraFleetError` with code `invalid_model`, or a `z.ZodError` for fields of another shape. */
export function createUnigram(json: unknown): Model {
  const { vocab, unk_id, byte_fallback: fallsBack } = unigramSchema.parse(json);
  const unknownId = unk_id ?? null;
  const idOf = new Map(vocab.map(([piece], id) => [piece, id]));
  const scores = Float64Array.from(vocab, ([, score]) => asSerdeReads(score));
  if (unknownId !== null && unknownId >= vocab.length) {
    throw invalidModel(`model.unk_id is ${unknownId}, but model.vocab has ${vocab.length} entries`);
  }
  const unknownScore = scores.reduce((least, score) => Math.min(least, score), Infinity) - UNKNOWN_PENALTY;
  const trie = createTrie(idOf);
  const encoder = new TextEncoder();
  const needUnknown = (): number => {
    if (unknownId === null) throw invalidModel("a character is unknown, and model.unk_id is null");
    return unknownId;
  };

  return {
    type: "Unigram",
    idOf,
    encode: encodeCached(encodeWord),
  };

  function encodeWord(text: string): readonly number[] {
    return bestPieces(text).flatMap((piece) => {
      const id = idOf.get(piece);
      if (id !== undefined) return [id];
      const bytes = fallsBack ? bytesOf(piece) : null;
      return bytes ?? [needUnknown()];
    });
  }

  function bytesOf(piece: string): number[] | null {
    const ids = Array.from(
      encoder.encode(piece),
      (byte) => idOf.get(`<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`),
    );
    return ids.every((id) => id !== undefined) ? ids : null;
  }

  /** Viterbi's algorithm; unknown characters in a row make one piece. */
  function bestPieces(text: string): string[] {
    const bestScore = new Float64Array(text.length + 1);
    const startOf = new Int32Array(text.length + 1).fill(-1);
    const pieceOf = new Int32Array(text.length + 1);
    const offer = (end: number, start: number, score: number, id: number): void => {
      if (startOf[end] !== -1 && score <= bestScore[end]!) return;
      bestScore[end] = score;
      startOf[end] = start;
      pieceOf[end] = id;
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
    const pieces: string[] = [];
    let unknownEnd = -1;
    for (let end = text.length; end > 0;) {
      const start = startOf[end]!;
      const isUnknown = pieceOf[end] === unknownId;
      if (!isUnknown && unknownEnd !== -1) pieces.push(text.slice(end, unknownEnd));
      if (!isUnknown) pieces.push(text.slice(start, end));
      unknownEnd = !isUnknown ? -1 : unknownEnd === -1 ? end : unknownEnd;
      end = start;
    }
    if (unknownEnd !== -1) pieces.push(text.slice(0, unknownEnd));
    return pieces.reverse();
  }
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
function createTrie(idOf: ReadonlyMap<string, number>): { next: PairTable; pieces: readonly number[] } {
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
