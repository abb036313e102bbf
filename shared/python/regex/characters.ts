/** Escapes and sets: the parts of a pattern that match one character, and Python's anchors. */
import type { Cursor } from "./cursor.ts";
import type { Node } from "./node.ts";

type CharacterTest = (code: number) => boolean;

const isDigit = (code: number) => code >= 48 && code <= 57;
const isWord = (code: number) =>
  isDigit(code) || code === 95 || /[\p{L}\p{N}]/u.test(String.fromCodePoint(code));
const isSpace = (code: number) => code === 32 || (code >= 9 && code <= 13) || (code >= 28 && code <= 31);

const CLASSES: Readonly<Record<string, CharacterTest>> = {
  d: isDigit,
  D: (code) => !isDigit(code),
  w: isWord,
  W: (code) => !isWord(code),
  s: isSpace,
  S: (code) => !isSpace(code),
};
const CONTROLS: Readonly<Record<string, number>> = { a: 7, f: 12, n: 10, r: 13, t: 9, v: 11 };

const isWordAt = (text: string, at: number) => at >= 0 && at < text.length && isWord(text.charCodeAt(at));
const isBoundary = (text: string, at: number) => isWordAt(text, at - 1) !== isWordAt(text, at);

export function literal(code: number): Node {
  return { kind: "set", has: (other) => other === code };
}

/** What stands behind a backslash outside a set. */
export function parseEscape(cursor: Cursor): Node {
  const letter = takeLetter(cursor, "the pattern ends with a backslash");
  if (letter === "A") return { kind: "at", holds: (_, position) => position === 0 };
  if (letter === "Z" || letter === "z") return { kind: "at", holds: (text, end) => end === text.length };
  if (letter === "b") return { kind: "at", holds: isBoundary };
  if (letter === "B") return { kind: "at", holds: (text, position) => !isBoundary(text, position) };
  if (Object.hasOwn(CLASSES, letter)) return { kind: "set", has: CLASSES[letter]! };
  return literal(escapedCode(cursor, letter));
}

/** `[…]` behind its opening bracket. */
export function parseSet(cursor: Cursor): Node {
  const isNegated = cursor.take("^");
  const tests: CharacterTest[] = [];
  // A bracket that comes first is a member.
  for (let isFirst = true; isFirst || cursor.next !== "]"; isFirst = false) {
    const from = parseMember(cursor);
    if (!/^-[^\]]/s.test(cursor.rest)) {
      tests.push(typeof from === "number" ? (code) => code === from : from);
      continue;
    }
    cursor.at++;
    const to = parseMember(cursor);
    if (typeof from !== "number" || typeof to !== "number" || from > to) {
      throw cursor.fault("a range in a set goes from a character to a later one");
    }
    tests.push((code) => code >= from && code <= to);
  }
  cursor.at++;
  return { kind: "set", has: (code) => tests.some((test) => test(code)) !== isNegated };
}

function parseMember(cursor: Cursor): number | CharacterTest {
  const letter = takeLetter(cursor, "a set is not closed");
  if (letter !== "\\") return letter.charCodeAt(0);
  const escaped = takeLetter(cursor, "the pattern ends with a backslash");
  if (escaped === "b") return 8;
  return Object.hasOwn(CLASSES, escaped) ? CLASSES[escaped]! : escapedCode(cursor, escaped);
}

function takeLetter(cursor: Cursor, whyNone: string): string {
  const letter = cursor.pattern[cursor.at++];
  if (letter === undefined) throw cursor.fault(whyNone);
  return letter;
}

/** The character that `\letter…` stands for; the cursor is behind the letter. */
function escapedCode(cursor: Cursor, letter: string): number {
  if (Object.hasOwn(CONTROLS, letter)) return CONTROLS[letter]!;
  const width = { x: 2, u: 4, U: 8 }[letter];
  if (width !== undefined) {
    const digits = cursor.rest.slice(0, width);
    if (!new RegExp(`^[0-9a-fA-F]{${width}}$`).test(digits)) {
      throw cursor.fault(`\\${letter} needs ${width} hexadecimal digits`);
    }
    cursor.at += width;
    return parseInt(digits, 16);
  }
  if (isDigit(letter.charCodeAt(0))) {
    // Three octal digits, or a zero and up to two of them; any other number refers to a group.
    const [octal] = /^(?:0[0-7]{0,2}|[0-3][0-7]{2})/.exec(letter + cursor.rest) ?? [];
    if (octal === undefined) throw cursor.fault("references to groups are not supported");
    cursor.at += octal.length - 1;
    return parseInt(octal, 8);
  }
  if (/[A-Za-z]/.test(letter)) throw cursor.fault(`\\${letter} is no escape of Python's`);
  return letter.charCodeAt(0);
}
