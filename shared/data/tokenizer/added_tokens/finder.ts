/** Added tokens: found in a text before anything else, as the Rust library's `AddedVocabulary` finds them. */
import { characters } from "../text/unicode.ts";

export interface AddedToken {
  readonly id: number;
  readonly content: string;
  readonly special: boolean;
  /** Not inside of words. */
  readonly single_word: boolean;
  /** Takes the whitespace before it along. */
  readonly lstrip: boolean;
  /** Takes the whitespace after it along. */
  readonly rstrip: boolean;
  /** Is looked for in normalised text, itself normalised. */
  readonly normalized: boolean;
  /** Decodes to its normalised form. */
  readonly decodesNormalized: boolean;
}

/** A part of a text: the id of an added token, or what lies between them. */
type Section = number | { readonly text: string; readonly start: number };

export interface AddedTokenFinder {
  /** The parts of a text in order; no empty ones. */
  split(text: string): Section[];
}

interface Node {
  readonly next: Map<number, Node>;
  token: AddedToken | null;
}

const STARTS_WITH_WORD = new RegExp(`^[${characters.word}]`, "u");
const WHITESPACE = new RegExp(characters.whitespace, "u");

/** @param entries what to look for, and the token that it stands for. */
export function createAddedTokenFinder(
  entries: readonly { readonly pattern: string; readonly token: AddedToken }[],
): AddedTokenFinder {
  const root: Node = { next: new Map(), token: null };
  for (const { pattern, token } of entries) {
    let node = root;
    for (let i = 0; i < pattern.length; i++) {
      const unit = pattern.charCodeAt(i);
      let child = node.next.get(unit);
      if (child === undefined) node.next.set(unit, child = { next: new Map(), token: null });
      node = child;
    }
    if (node !== root) node.token = token;
  }
  const firstUnits = new Uint8Array(0x10000);
  for (const unit of root.next.keys()) firstUnits[unit] = 1;
  if (root.next.size === 0) return { split: (text) => text === "" ? [] : [{ text, start: 0 }] };

  /** The longest one that begins at `start`; null if none does. */
  const longestAt = (text: string, start: number): { token: AddedToken; end: number } | null => {
    let node: Node | undefined = root;
    let found: { token: AddedToken; end: number } | null = null;
    for (let at = start; at < text.length; at++) {
      node = node.next.get(text.charCodeAt(at));
      if (node === undefined) break;
      if (node.token !== null) found = { token: node.token, end: at + 1 };
    }
    return found;
  };

  return {
    split(text) {
      const sections: Section[] = [];
      /** Where the text begins that belongs to no token yet. */
      let rest = 0;
      for (let at = 0; at < text.length;) {
        const match = firstUnits[text.charCodeAt(at)] === 0 ? null : longestAt(text, at);
        if (match === null) {
          at++;
          continue;
        }
        const { token, end } = match;
        const begin = at;
        at = end;
        // What is refused here is not searched again for shorter ones.
        if (token.single_word && !isSingleWord(text, begin, end)) continue;
        const from = token.lstrip ? Math.max(startOfSpaceBefore(text, begin), rest) : begin;
        if (from > rest) sections.push({ text: text.slice(rest, from), start: rest });
        sections.push(token.id);
        rest = token.rstrip ? endOfSpaceAfter(text, end) : end;
      }
      if (rest < text.length) sections.push({ text: text.slice(rest), start: rest });
      return sections;
    },
  };
}

function isSingleWord(text: string, begin: number, end: number): boolean {
  return !isWord(lastCharacter(text, begin)) && !isWord(text.slice(end, end + 2));
}

function isWord(text: string): boolean {
  return STARTS_WITH_WORD.test(text);
}

/**
 * The character before a place; empty at the beginning. (V8 15 does not find a character of two units by `[…]$`: it looks
 * for the class of one character in the last unit alone.)
 */
function lastCharacter(text: string, end: number): string {
  const isPair = end > 1 && text.codePointAt(end - 2)! > 0xffff;
  return text.slice(Math.max(0, end - (isPair ? 2 : 1)), end);
}

/** All whitespace lies in the Basic Multilingual Plane: a unit is a character. */
function startOfSpaceBefore(text: string, at: number): number {
  while (at > 0 && WHITESPACE.test(text[at - 1]!)) at--;
  return at;
}

function endOfSpaceAfter(text: string, at: number): number {
  while (at < text.length && WHITESPACE.test(text[at]!)) at++;
  return at;
}
