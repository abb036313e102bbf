/**
 * CSV cell by cell, with pandas' C parser as the reference (pandas/_libs/src/parser/tokenizer.c), which `datasets` uses: a
 * quote opens a quoted part only at a cell's beginning, and two quotes inside are one. Unlike there, text after the closing
 * quote is refused: it shows that a quote is missing.
 */
import type { LoraFleetError } from "../../errors.ts";
import { invalidLine } from "../rows/row.ts";
import { MAX_ITEM_CHARS } from "./lines.ts";

export interface CsvRecord {
  /** The line on which it begins, from 1. */
  readonly line: number;
  readonly cells: string[];
}

/** Pieces of a file → its records. Blank lines are passed over. */
export class CsvParser {
  readonly #delimiter: string;
  /** Characters that may end an unquoted part. */
  readonly #special: RegExp;
  #cells: string[] = [];
  #cell = "";
  #state: "start" | "unquoted" | "quoted" | "quote in quoted" = "start";
  #line = 1;
  #recordLine = 1;
  #quoteLine = 1;
  /** The last character was a carriage return, whose line feed is still to come. */
  #afterReturn = false;

  constructor(delimiter: "," | "\t") {
    this.#delimiter = delimiter;
    this.#special = delimiter === "," ? /[,\r\n]/g : /[\t\r\n]/g;
  }

  /** Throws a `LoraFleetError` with code `invalid_dataset` that names the line. */
  *parse(text: string): Generator<CsvRecord> {
    let at = 0;
    while (at < text.length) {
      if (this.#state === "quoted") at = this.#readQuoted(text, at);
      else {
        const character = text[at]!;
        if (this.#afterReturn && character === "\n") at++;
        else if (this.#opensQuote(character)) at++;
        else if (character === this.#delimiter) {
          this.#endCell();
          at++;
        } else if (character === "\n" || character === "\r") {
          const record = this.#endRecord();
          if (record !== null) yield record;
          this.#line++;
          this.#recordLine = this.#line;
          at++;
          this.#afterReturn = character === "\r";
          continue;
        } else at = this.#readUnquoted(text, at);
      }
      this.#afterReturn = false;
      this.#assertLength();
    }
  }

  /** Throws for a quote that is never closed. */
  *end(): Generator<CsvRecord> {
    if (this.#state === "quoted") {
      throw invalidLine(
        this.#quoteLine,
        `opens a quote (") that is never closed; close it, or double the quotes inside a quoted cell ("")`,
      );
    }
    const record = this.#endRecord();
    if (record !== null) yield record;
  }

  #opensQuote(character: string): boolean {
    if (character !== '"') return false;
    if (this.#state === "start") {
      this.#state = "quoted";
      this.#quoteLine = this.#line;
      return true;
    }
    if (this.#state !== "quote in quoted") return false;
    this.#cell += '"';
    this.#state = "quoted";
    return true;
  }

  #readQuoted(text: string, at: number): number {
    const end = text.indexOf('"', at);
    const part = text.slice(at, end === -1 ? text.length : end);
    this.#cell += part;
    this.#line += lineEnds(part);
    if (end === -1) return text.length;
    this.#state = "quote in quoted";
    return end + 1;
  }

  #readUnquoted(text: string, at: number): number {
    this.#special.lastIndex = at;
    const end = this.#special.exec(text)?.index ?? text.length;
    if (this.#state === "quote in quoted" && text.slice(at, end).trim() !== "") throw this.#brokenQuote();
    this.#cell += text.slice(at, end);
    this.#state = "unquoted";
    return end;
  }

  /** A missing quote makes the next one end the cell, with two rows in it: the library would take that for one. */
  #brokenQuote(): LoraFleetError {
    const closes = this.#line === this.#quoteLine ? "" : ` in line ${this.#line}`;
    return invalidLine(
      this.#quoteLine,
      `opens a quote (") that closes${closes} in the middle of a cell; a quote is missing, or quotes inside the cell are not ` +
        `doubled ("")`,
    );
  }

  #endCell(): void {
    this.#cells.push(this.#cell);
    this.#cell = "";
    this.#state = "start";
  }

  /** Null for a blank line. */
  #endRecord(): CsvRecord | null {
    const isBlank = this.#cells.length === 0 && this.#cell.trim() === "" && this.#state !== "quote in quoted";
    this.#endCell();
    const record = { line: this.#recordLine, cells: this.#cells };
    this.#cells = [];
    return isBlank ? null : record;
  }

  #assertLength(): void {
    if (this.#cell.length <= MAX_ITEM_CHARS) return;
    throw invalidLine(
      this.#recordLine,
      `has a cell of more than ${MAX_ITEM_CHARS} characters; a quote (") may be missing`,
    );
  }
}

/** CRLF counts once; a CR alone counts, too. */
function lineEnds(text: string): number {
  return text.match(/\r\n|\r|\n/g)?.length ?? 0;
}
