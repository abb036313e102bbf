/**
 * Python's regular expressions (`re`, without flags) as a tree: what PEFT takes for `target_modules`. JavaScript's differ in
 * spelling (`(?P<n>…)`, `\Z`, `{,3}`) and in what they let pass, so a pattern is read by Python's rules.
 */
import { LoraFleetError, quote } from "../../errors.ts";

/** A node of a pattern; what it matches from a position on is in regex.ts. */
export type Node =
  | { readonly kind: "sequence"; readonly items: readonly Node[] }
  | { readonly kind: "choice"; readonly options: readonly Node[] }
  | { readonly kind: "repeat"; readonly item: Node; readonly min: number; readonly max: number }
  | { readonly kind: "set"; readonly has: (code: number) => boolean }
  | { readonly kind: "look"; readonly item: Node; readonly behind: boolean; readonly negated: boolean }
  | { readonly kind: "at"; readonly holds: (text: string, position: number) => boolean };

/** Longer patterns name modules one by one, which a list does better. */
const MAX_LENGTH = 1000;
/** Deeper nesting would exhaust the stack before it meant anything. */
const MAX_DEPTH = 50;

const isDigit = (code: number) => code >= 48 && code <= 57;
const isWord = (code: number) =>
  isDigit(code) || code === 95 || /[\p{L}\p{N}]/u.test(String.fromCodePoint(code));
const isSpace = (code: number) => code === 32 || (code >= 9 && code <= 13) || (code >= 28 && code <= 31);

const CLASSES: Readonly<Record<string, (code: number) => boolean>> = {
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

/**
 * Throws a `LoraFleetError` with code `invalid_request` and no `param` that says what in the pattern is wrong, or is not supported:
 * references to groups, atomic groups, possessive repeats and flags.
 */
export function parseRegex(pattern: string): Node {
  let at = 0;
  let depth = 0;
  const names = new Set<string>();

  const fault = (why: string): LoraFleetError =>
    new LoraFleetError("invalid_request", `at character ${at + 1} of ${quote(pattern)}: ${why}`);
  const take = (text: string): boolean => {
    if (!pattern.startsWith(text, at)) return false;
    at += text.length;
    return true;
  };
  const literal = (code: number): Node => ({ kind: "set", has: (other) => other === code });

  function choice(): Node {
    if (++depth > MAX_DEPTH) throw fault(`groups are nested more than ${MAX_DEPTH} deep`);
    const options = [sequence()];
    while (take("|")) options.push(sequence());
    depth--;
    return options.length === 1 ? options[0]! : { kind: "choice", options };
  }

  function sequence(): Node {
    const items: Node[] = [];
    while (at < pattern.length && pattern[at] !== "|" && pattern[at] !== ")") {
      const item = atom();
      if (item !== null) items.push(repeated(item));
    }
    return { kind: "sequence", items };
  }

  /** Null for a comment. */
  function atom(): Node | null {
    if (take("(")) return group();
    if (take("[")) return set();
    if (take(".")) return { kind: "set", has: (code) => code !== 10 };
    if (take("^")) return { kind: "at", holds: (_, position) => position === 0 };
    if (take("$")) {
      return {
        kind: "at",
        holds: (text, position) =>
          position === text.length || (position === text.length - 1 && text[position] === "\n"),
      };
    }
    if (take("\\")) return escape();
    if ("*+?".includes(pattern[at]!) || bounds() !== null) throw fault("there is nothing to repeat");
    return literal(pattern.charCodeAt(at++));
  }

  function group(): Node | null {
    const closed = (node: Node): Node => {
      if (!take(")")) throw fault("a parenthesis is not closed");
      return node;
    };
    if (!take("?")) return closed(choice());
    if (take(":")) return closed(choice());
    for (const [sign, behind, negated] of LOOKS) {
      if (!take(sign)) continue;
      const item = choice();
      if (behind && widthOf(item) === null) throw fault("what is looked for behind needs a fixed length");
      return closed({ kind: "look", item, behind, negated });
    }
    if (take("P<")) {
      const [name] = /^[A-Za-z_]\w*(?=>)/.exec(pattern.slice(at)) ?? [];
      if (name === undefined) throw fault("a group's name is missing");
      if (names.has(name)) throw fault(`the group name ${quote(name)} is given twice`);
      names.add(name);
      at += name.length + 1;
      return closed(choice());
    }
    if (take("#")) {
      const end = pattern.indexOf(")", at);
      if (end < 0) throw fault("a comment is not closed");
      at = end + 1;
      return null;
    }
    if (take("P=") || take("(")) throw fault("references to groups are not supported");
    if (take(">")) throw fault("atomic groups are not supported");
    throw fault(`(?${pattern[at] ?? ""} is a flag that is not supported, or no extension of Python's`);
  }

  function escape(): Node {
    const letter = pattern[at++];
    if (letter === undefined) throw fault("the pattern ends with a backslash");
    if (letter === "A") return { kind: "at", holds: (_, position) => position === 0 };
    if (letter === "Z" || letter === "z") return { kind: "at", holds: (text, end) => end === text.length };
    if (letter === "b") return { kind: "at", holds: isBoundary };
    if (letter === "B") return { kind: "at", holds: (text, position) => !isBoundary(text, position) };
    if (Object.hasOwn(CLASSES, letter)) return { kind: "set", has: CLASSES[letter]! };
    return literal(escapedCode(letter, false));
  }

  /** The character that `\letter…` stands for; `at` is behind the letter. */
  function escapedCode(letter: string, inSet: boolean): number {
    if (Object.hasOwn(CONTROLS, letter)) return CONTROLS[letter]!;
    if (inSet && letter === "b") return 8;
    const width = { x: 2, u: 4, U: 8 }[letter];
    if (width !== undefined) {
      const digits = pattern.slice(at, at + width);
      if (!new RegExp(`^[0-9a-fA-F]{${width}}$`).test(digits)) {
        throw fault(`\\${letter} needs ${width} hexadecimal digits`);
      }
      at += width;
      return parseInt(digits, 16);
    }
    if (isDigit(letter.charCodeAt(0))) {
      // Three octal digits, or a zero and up to two of them; any other number refers to a group.
      const [octal] = /^(?:0[0-7]{0,2}|[0-3][0-7]{2})/.exec(letter + pattern.slice(at)) ?? [];
      if (octal === undefined) throw fault("references to groups are not supported");
      at += octal.length - 1;
      return parseInt(octal, 8);
    }
    if (/[A-Za-z]/.test(letter)) throw fault(`\\${letter} is no escape of Python's`);
    return letter.charCodeAt(0);
  }

  function set(): Node {
    const isNegated = take("^");
    const tests: ((code: number) => boolean)[] = [];
    const member = (): number | ((code: number) => boolean) => {
      const letter = pattern[at++];
      if (letter === undefined) throw fault("a set is not closed");
      if (letter !== "\\") return letter.charCodeAt(0);
      const escaped = pattern[at++];
      if (escaped === undefined) throw fault("the pattern ends with a backslash");
      return Object.hasOwn(CLASSES, escaped) ? CLASSES[escaped]! : escapedCode(escaped, true);
    };
    // A bracket that comes first is one of the set.
    for (let isFirst = true; isFirst || pattern[at] !== "]"; isFirst = false) {
      const from = member();
      if (pattern[at] !== "-" || pattern[at + 1] === "]" || at + 1 >= pattern.length) {
        tests.push(typeof from === "number" ? (code) => code === from : from);
        continue;
      }
      at++;
      const to = member();
      if (typeof from !== "number" || typeof to !== "number" || from > to) {
        throw fault("a range in a set goes from a character to a later one");
      }
      tests.push((code) => code >= from && code <= to);
    }
    at++;
    return { kind: "set", has: (code) => tests.some((test) => test(code)) !== isNegated };
  }

  /** The `{m,n}` that stands here, as Python reads it; null where a brace is a plain character. */
  function bounds(): { readonly min: number; readonly max: number; readonly length: number } | null {
    const match = /^\{(\d*)(,?)(\d*)\}/.exec(pattern.slice(at));
    if (match === null || match[0] === "{}") return null;
    const [whole, low, comma, high] = match as unknown as [string, string, string, string];
    if (comma === "" && low === "") return null;
    const min = low === "" ? 0 : Number(low);
    const max = comma === "" ? min : high === "" ? Infinity : Number(high);
    if (max < min) throw fault("the smallest count of a repeat is above the largest");
    return { min, max, length: whole.length };
  }

  function repeated(item: Node): Node {
    const count = take("*")
      ? { min: 0, max: Infinity }
      : take("+")
      ? { min: 1, max: Infinity }
      : take("?")
      ? { min: 0, max: 1 }
      : bounds();
    if (count === null) return item;
    if (item.kind === "at") throw fault("there is nothing to repeat");
    if ("length" in count) at += count.length;
    // Lazy or not makes no difference to whether all of a text matches.
    if (!take("?") && take("+")) throw fault("possessive repeats are not supported");
    if ("*+?".includes(pattern[at] || " ") || bounds() !== null) throw fault("a repeat is repeated");
    return { kind: "repeat", item, min: count.min, max: count.max };
  }

  if (pattern.length > MAX_LENGTH) {
    throw new LoraFleetError(
      "invalid_request",
      `the pattern has ${pattern.length} characters; at most ${MAX_LENGTH} are allowed`,
    );
  }
  const node = choice();
  if (at < pattern.length) throw fault("a parenthesis is closed that was not opened");
  return node;
}

/** How many characters a node always takes; null where that depends on the text. */
function widthOf(node: Node): number | null {
  switch (node.kind) {
    case "set":
      return 1;
    case "at":
    case "look":
      return 0;
    case "sequence":
      return node.items.map(widthOf).reduce(
        (sum, width) => sum === null || width === null ? null : sum + width,
        0,
      );
    case "choice": {
      const widths = new Set(node.options.map(widthOf));
      return widths.size === 1 ? [...widths][0]! : null;
    }
    case "repeat": {
      const width = widthOf(node.item);
      return width !== null && node.min === node.max ? width * node.min : null;
    }
  }
}

const LOOKS: readonly [sign: string, behind: boolean, negated: boolean][] = [
  ["=", false, false],
  ["!", false, true],
  ["<=", true, false],
  ["<!", true, true],
];
