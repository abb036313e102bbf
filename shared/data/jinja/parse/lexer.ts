/**
 * Template text → tokens, as jinja2/lexer.py has them with `trim_blocks` and `lstrip_blocks`, without line statements and
 * with the trailing newline dropped.
 */
import { SPACE_CLASS } from "../../../python/text/whitespace.ts";
import { TemplateSyntaxError } from "./errors.ts";
import { unescapeString } from "./string_literal.ts";

export interface Token {
  readonly line: number;
  /** "data", "name", "string", "integer", "float", "eof", "block_begin", ..., or an operator's own text. */
  readonly type: string;
  readonly value: string | bigint | number;
}

const NAME = /[\p{ID_Continue}\p{N}_·]+/uy;
const IDENTIFIER = /^[\p{ID_Start}_]\p{ID_Continue}*$/u;
const FLOAT = /(?<!\.)(?:\d+_)*\d+(?:(?:\.(?:\d+_)*\d+)?e[+-]?(?:\d+_)*\d+|\.(?:\d+_)*\d+)/iy;
const INTEGER = /0b(?:_?[01])+|0o(?:_?[0-7])+|0x(?:_?[\da-f])+|[1-9](?:_?\d)*|0(?:_?0)*/iy;
const STRING = /'(?:[^'\\]*(?:\\.[^'\\]*)*)'|"(?:[^"\\]*(?:\\.[^"\\]*)*)"/sy;
const OPERATOR = /\/\/|\*\*|==|!=|>=|<=|[-+/*%~[\](){}><=.:|,;]/y;
const SPACE = new RegExp(`${SPACE_CLASS}+`, "y");
const TRAILING_SPACE = new RegExp(`${SPACE_CLASS}+$`);
const ONLY_SPACE = new RegExp(`^${SPACE_CLASS}+$`);
const TAG_BEGIN = /\{(?:%|\{|#)/g;
const RAW_BEGIN = new RegExp(`\\{%[-+]?${SPACE_CLASS}*raw${SPACE_CLASS}*(?:-%\\}${SPACE_CLASS}*|%\\})`, "y");
const RAW_END = new RegExp(
  `\\{%([-+]?)${SPACE_CLASS}*endraw${SPACE_CLASS}*(?:\\+%\\}|-%\\}${SPACE_CLASS}*|%\\}\\n?)`,
  "g",
);
const COMMENT_END = new RegExp(`\\+#\\}|-#\\}${SPACE_CLASS}*|#\\}\\n?`, "g");
const BLOCK_END = new RegExp(`\\+%\\}|-%\\}${SPACE_CLASS}*|%\\}\\n?`, "y");
const VARIABLE_END = new RegExp(`-\\}\\}${SPACE_CLASS}*|\\}\\}`, "y");
const CLOSING: Readonly<Record<string, string>> = { "(": ")", "[": "]", "{": "}" };

export function tokenize(source: string): Token[] {
  return new Lexer(source).tokens();
}

class Lexer {
  readonly #source: string;
  readonly #tokens: Token[] = [];
  #at = 0;
  #line = 1;
  #lineStarting = true;

  constructor(source: string) {
    const text = source.replace(/\r\n?/g, "\n");
    this.#source = text.endsWith("\n") ? text.slice(0, -1) : text;
  }

  tokens(): Token[] {
    while (this.#at < this.#source.length) this.#data();
    this.#push("eof", "");
    return this.#tokens;
  }

  /** Text up to the next tag, and the tag. */
  #data(): void {
    TAG_BEGIN.lastIndex = this.#at;
    const begin = TAG_BEGIN.exec(this.#source)?.index;
    if (begin === undefined) {
      this.#push("data", this.#source.slice(this.#at));
      this.#at = this.#source.length;
      return;
    }
    const text = this.#source.slice(this.#at, begin);
    const kind = this.#source[begin + 1];
    const sign = this.#source[begin + 2] ?? "";
    this.#pushData(text, sign, kind !== "{");
    this.#at = begin;
    if (kind === "%") {
      const raw = matchAt(RAW_BEGIN, this.#source, begin);
      if (raw !== null) return this.#raw(raw);
    }
    this.#at = begin + (sign === "-" || sign === "+" ? 3 : 2);
    this.#lineStarting = false;
    if (kind === "#") return this.#comment();
    if (kind === "%") {
      this.#push("block_begin", "");
      this.#code("block_end", BLOCK_END);
    } else {
      this.#push("variable_begin", "");
      this.#code("variable_end", VARIABLE_END);
    }
  }

  /** Template text before a tag; the tag's sign, or `lstrip_blocks`, takes white space away. */
  #pushData(text: string, sign: string, isBlock: boolean): void {
    let kept = text;
    if (sign === "-") kept = text.replace(TRAILING_SPACE, "");
    else if (sign !== "+" && isBlock) {
      const lineStart = text.lastIndexOf("\n") + 1;
      if ((lineStart > 0 || this.#lineStarting) && ONLY_SPACE.test(text.slice(lineStart))) {
        kept = text.slice(0, lineStart);
      }
    }
    if (kept !== "") this.#push("data", kept);
    this.#line += countLines(text);
  }

  #raw(begin: string): void {
    this.#line += countLines(begin);
    this.#at += begin.length;
    this.#lineStarting = begin.endsWith("\n");
    RAW_END.lastIndex = this.#at;
    const end = RAW_END.exec(this.#source);
    // As in Jinja2, one that begins at the very end needs none.
    if (end === null && this.#at === this.#source.length) return;
    if (end === null) throw this.#error("Missing end of raw directive");
    this.#pushData(this.#source.slice(this.#at, end.index), end[1]!, true);
    this.#line += countLines(end[0]);
    this.#at = end.index + end[0].length;
    this.#lineStarting = end[0].endsWith("\n");
  }

  #comment(): void {
    COMMENT_END.lastIndex = this.#at;
    const end = COMMENT_END.exec(this.#source);
    if (end === null && this.#at === this.#source.length) return;
    if (end === null) throw this.#error("Missing end of comment tag");
    const next = end.index + end[0].length;
    this.#line += countLines(this.#source.slice(this.#at, next));
    this.#at = next;
    this.#lineStarting = end[0].endsWith("\n");
  }

  /** The inside of a tag, through its end; an end inside brackets is an operator. */
  #code(endType: string, endPattern: RegExp): void {
    const open: string[] = [];
    while (this.#at < this.#source.length) {
      const end = open.length === 0 ? matchAt(endPattern, this.#source, this.#at) : null;
      if (end !== null) {
        this.#push(endType, "");
        this.#line += countLines(end);
        this.#at += end.length;
        this.#lineStarting = end.endsWith("\n");
        return;
      }
      this.#codeToken(open);
    }
  }

  #codeToken(open: string[]): void {
    const take = (pattern: RegExp): string | null => {
      const match = matchAt(pattern, this.#source, this.#at);
      if (match !== null) this.#at += match.length;
      return match;
    };
    let text = take(SPACE);
    if (text !== null) {
      this.#line += countLines(text);
    } else if ((text = take(FLOAT)) !== null) {
      this.#push("float", Number(text.replaceAll("_", "")));
    } else if ((text = take(INTEGER)) !== null) {
      this.#push("integer", BigInt(text.replaceAll("_", "")));
    } else if ((text = take(NAME)) !== null) {
      if (!IDENTIFIER.test(text)) throw this.#error(`Invalid character in identifier '${text}'`);
      this.#push("name", text);
    } else if ((text = take(STRING)) !== null) {
      this.#push("string", unescapeString(text.slice(1, -1), this.#line));
      this.#line += countLines(text);
    } else if ((text = take(OPERATOR)) !== null) {
      this.#balance(text, open);
      this.#push(text, text);
    } else {
      throw this.#error(`unexpected char '${String.fromCodePoint(this.#source.codePointAt(this.#at)!)}'`);
    }
  }

  #balance(operator: string, open: string[]): void {
    const closing = CLOSING[operator];
    if (closing !== undefined) open.push(closing);
    else if (operator === ")" || operator === "]" || operator === "}") {
      const expected = open.pop();
      if (expected === undefined) throw this.#error(`unexpected '${operator}'`);
      if (expected !== operator) throw this.#error(`unexpected '${operator}', expected '${expected}'`);
    }
  }

  #push(type: string, value: Token["value"]): void {
    this.#tokens.push({ line: this.#line, type, value });
  }

  #error(message: string): TemplateSyntaxError {
    return new TemplateSyntaxError(message, this.#line);
  }
}

function matchAt(pattern: RegExp, text: string, at: number): string | null {
  pattern.lastIndex = at;
  return pattern.exec(text)?.[0] ?? null;
}

function countLines(text: string): number {
  let count = 0;
  for (let at = text.indexOf("\n"); at !== -1; at = text.indexOf("\n", at + 1)) count++;
  return count;
}
