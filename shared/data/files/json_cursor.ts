/** A place in a JSON text that arrives in pieces; only what is not consumed yet is kept. */
import { LoraFleetError } from "../../errors.ts";
import { countLineFeeds, MAX_ITEM_CHARS } from "./lines.ts";

const BLANK = /[ \t\r\n]*/y;
const OUTSIDE_STRING = /["{}[\]]/g;
const INSIDE_STRING = /["\\]/g;
const END_OF_SCALAR = /[,\]} \t\r\n]/g;

export class JsonTextCursor {
  readonly #pieces: AsyncIterator<string>;
  #text = "";
  #at = 0;
  /** Line feeds in all text before `#text`. */
  #linesBefore = 0;

  constructor(pieces: AsyncIterable<string>) {
    this.#pieces = pieces[Symbol.asyncIterator]();
  }

  /** The line of the next character, from 1. */
  get line(): number {
    return 1 + this.#linesBefore + countLineFeeds(this.#text.slice(0, this.#at));
  }

  /** The next character that is not blank, which is not consumed; "" at the end. */
  async peek(): Promise<string> {
    for (;;) {
      BLANK.lastIndex = this.#at;
      BLANK.exec(this.#text);
      this.#at = BLANK.lastIndex;
      if (this.#at < this.#text.length) return this.#text[this.#at]!;
      if (!await this.#fill()) return "";
    }
  }

  /** Consumes the character that `peek` returned. */
  skip(): void {
    this.#at++;
  }

  /**
   * Consumes a whole value and returns its text, which need not be valid JSON: brackets and strings are matched, no more.
   * `peek` has returned its first character. Throws a `LoraFleetError` if the file ends within it.
   */
  async value(): Promise<string> {
    const first = this.#text[this.#at]!;
    if (first === '"' || first === "{" || first === "[") return await this.#bracketed();
    for (let from = this.#at;;) {
      END_OF_SCALAR.lastIndex = from;
      const end = END_OF_SCALAR.exec(this.#text)?.index;
      if (end !== undefined) return this.#take(end);
      from = this.#text.length - this.#at;
      const isMore = await this.#fill();
      from += this.#at;
      if (!isMore) return this.#take(this.#text.length);
    }
  }

  async #bracketed(): Promise<string> {
    const start = this.line;
    let [depth, isInString, scanned] = [0, false, 0];
    for (;;) {
      const pattern = isInString ? INSIDE_STRING : OUTSIDE_STRING;
      pattern.lastIndex = this.#at + scanned;
      const found = pattern.exec(this.#text);
      const isCutEscape = found !== null && found[0] === "\\" && found.index + 1 === this.#text.length;
      if (found === null || isCutEscape) {
        scanned = (found?.index ?? this.#text.length) - this.#at;
        if (await this.#fill()) continue;
        throw new LoraFleetError(
          "invalid_dataset",
          `dataset: the value that begins in line ${start} is not closed when the file ends; it may have been cut off`,
          { param: `line ${start}` },
        );
      }
      scanned = found.index + (found[0] === "\\" ? 2 : 1) - this.#at;
      if (found[0] === "\\") continue;
      if (found[0] === '"') isInString = !isInString;
      else depth += found[0] === "{" || found[0] === "[" ? 1 : -1;
      if (depth === 0 && !isInString) return this.#take(this.#at + scanned);
    }
  }

  #take(end: number): string {
    const taken = this.#text.slice(this.#at, end);
    this.#at = end;
    return taken;
  }

  /** False at the end of the file. Drops what is consumed. */
  async #fill(): Promise<boolean> {
    const { value, done } = await this.#pieces.next();
    if (done === true) return false;
    this.#linesBefore += countLineFeeds(this.#text.slice(0, this.#at));
    this.#text = this.#text.slice(this.#at) + value;
    this.#at = 0;
    if (this.#text.length <= 2 * MAX_ITEM_CHARS) return true;
    throw new LoraFleetError(
      "invalid_dataset",
      `dataset: line ${this.line} begins a value of more than ${MAX_ITEM_CHARS} characters; no row is that long`,
      { param: `line ${this.line}` },
    );
  }
}
