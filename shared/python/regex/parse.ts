/**
 * Python's regular expressions (`re`, without flags) as a tree: what PEFT takes for `target_modules`. JavaScript's differ in
 * spelling (`(?P<n>…)`, `\Z`, `{,3}`) and in what they let pass, so a pattern is read by Python's rules.
 */
import { LoraFleetError, quote } from "../../errors.ts";
import { literal, parseEscape, parseSet } from "./characters.ts";
import { Cursor } from "./cursor.ts";
import { type Node, widthOf } from "./node.ts";

/** Longer patterns name modules one by one, which a list does better. */
const MAX_LENGTH = 1000;
/** Deeper nesting would exhaust the stack before it meant anything. */
const MAX_DEPTH = 50;
const LOOKS: readonly [sign: string, behind: boolean, negated: boolean][] = [
  ["=", false, false],
  ["!", false, true],
  ["<=", true, false],
  ["<!", true, true],
];

/**
 * Throws a `LoraFleetError` with code `invalid_request` and no `param` that names the fault in the pattern, or what is not
 * supported: references to groups, atomic groups, possessive repeats and flags.
 */
export function parseRegex(pattern: string): Node {
  if (pattern.length > MAX_LENGTH) {
    throw new LoraFleetError(
      "invalid_request",
      `the pattern has ${pattern.length} characters; at most ${MAX_LENGTH} are allowed`,
    );
  }
  const cursor = new Cursor(pattern);
  const node = new GroupParser(cursor).parse();
  if (cursor.next !== undefined) throw cursor.fault("a parenthesis is closed that was not opened");
  return node;
}

class GroupParser {
  readonly #cursor: Cursor;
  readonly #names = new Set<string>();
  #depth = 0;

  constructor(cursor: Cursor) {
    this.#cursor = cursor;
  }

  /** Options up to the end of the group or of the pattern. */
  parse(): Node {
    if (++this.#depth > MAX_DEPTH) {
      throw this.#cursor.fault(`groups are nested more than ${MAX_DEPTH} deep`);
    }
    const options = [this.#sequence()];
    while (this.#cursor.take("|")) options.push(this.#sequence());
    this.#depth--;
    return options.length === 1 ? options[0]! : { kind: "choice", options };
  }

  #sequence(): Node {
    const items: Node[] = [];
    while (![undefined, "|", ")"].includes(this.#cursor.next)) {
      const item = this.#atom();
      if (item !== null) items.push(parseRepeat(this.#cursor, item));
    }
    return { kind: "sequence", items };
  }

  /** Null for a comment. */
  #atom(): Node | null {
    const cursor = this.#cursor;
    if (cursor.take("(")) return this.#group();
    if (cursor.take("[")) return parseSet(cursor);
    if (cursor.take(".")) return { kind: "set", has: (code) => code !== 10 };
    if (cursor.take("^")) return { kind: "at", holds: (_, position) => position === 0 };
    if (cursor.take("$")) return { kind: "at", holds: isLineEnd };
    if (cursor.take("\\")) return parseEscape(cursor);
    if (isRepeat(cursor)) throw cursor.fault("there is nothing to repeat");
    return literal(cursor.pattern.charCodeAt(cursor.at++));
  }

  #group(): Node | null {
    const cursor = this.#cursor;
    if (!cursor.take("?") || cursor.take(":")) return this.#closed(this.parse());
    for (const [sign, behind, negated] of LOOKS) {
      if (!cursor.take(sign)) continue;
      const item = this.parse();
      if (behind && widthOf(item) === null) {
        throw cursor.fault("what is looked for behind needs a fixed length");
      }
      return this.#closed({ kind: "look", item, behind, negated });
    }
    if (cursor.take("P<")) {
      this.#name();
      return this.#closed(this.parse());
    }
    if (cursor.take("#")) {
      const end = cursor.pattern.indexOf(")", cursor.at);
      if (end < 0) throw cursor.fault("a comment is not closed");
      cursor.at = end + 1;
      return null;
    }
    if (cursor.take("P=") || cursor.take("(")) throw cursor.fault("references to groups are not supported");
    if (cursor.take(">")) throw cursor.fault("atomic groups are not supported");
    throw cursor.fault(`(?${cursor.next ?? ""} is a flag that is not supported, or no extension of Python's`);
  }

  #name(): void {
    const cursor = this.#cursor;
    const [name] = /^[A-Za-z_]\w*(?=>)/.exec(cursor.rest) ?? [];
    if (name === undefined) throw cursor.fault("a group's name is missing");
    if (this.#names.has(name)) throw cursor.fault(`the group name ${quote(name)} is given twice`);
    this.#names.add(name);
    cursor.at += name.length + 1;
  }

  #closed(node: Node): Node {
    if (!this.#cursor.take(")")) throw this.#cursor.fault("a parenthesis is not closed");
    return node;
  }
}

function isLineEnd(text: string, position: number): boolean {
  return position === text.length || (position === text.length - 1 && text[position] === "\n");
}

function isRepeat(cursor: Cursor): boolean {
  return "*+?".includes(cursor.next || " ") || parseBounds(cursor) !== null;
}

/** The `{m,n}` that stands here, as Python reads it; null if a brace is a plain character. */
function parseBounds(
  cursor: Cursor,
): { readonly min: number; readonly max: number; readonly length: number } | null {
  const match = /^\{(\d*)(,?)(\d*)\}/.exec(cursor.rest);
  if (match === null || match[0] === "{}") return null;
  const [whole, low, comma, high] = match as unknown as [string, string, string, string];
  if (comma === "" && low === "") return null;
  const min = low === "" ? 0 : Number(low);
  const max = comma === "" ? min : high === "" ? Infinity : Number(high);
  if (max < min) throw cursor.fault("the smallest count of a repeat is above the largest");
  return { min, max, length: whole.length };
}

function parseRepeat(cursor: Cursor, item: Node): Node {
  const count = cursor.take("*")
    ? { min: 0, max: Infinity }
    : cursor.take("+")
    ? { min: 1, max: Infinity }
    : cursor.take("?")
    ? { min: 0, max: 1 }
    : parseBounds(cursor);
  if (count === null) return item;
  if (item.kind === "at") throw cursor.fault("there is nothing to repeat");
  if ("length" in count) cursor.at += count.length;
  // Lazy or not makes no difference to whether all of a text matches.
  if (!cursor.take("?") && cursor.take("+")) throw cursor.fault("possessive repeats are not supported");
  if (isRepeat(cursor)) throw cursor.fault("a repeat is repeated");
  return { kind: "repeat", item, min: count.min, max: count.max };
}
