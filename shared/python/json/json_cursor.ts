/** Text that is not JSON: `offset` counts UTF-16 units from 0. */
export class JsonSyntaxError extends Error {
  override readonly name = "JsonSyntaxError";
  readonly offset: number;

  constructor(message: string, offset: number) {
    super(message);
    this.offset = offset;
  }
}

/** A text and the position that is read next. */
export class JsonCursor {
  readonly text: string;
  at = 0;

  constructor(text: string) {
    this.text = text;
  }

  /** Skips white space, and `mark` if it comes next. */
  passes(mark: string): boolean {
    this.skipSpace();
    if (this.text[this.at] !== mark) return false;
    this.at++;
    return true;
  }

  skipSpace(): void {
    for (;; this.at++) {
      const unit = this.text.charCodeAt(this.at);
      if (unit !== 0x20 && unit !== 0x0a && unit !== 0x0d && unit !== 0x09) return;
    }
  }

  /** The error for something else than `what`. */
  expected(what: string, at = this.at): JsonSyntaxError {
    const found = at >= this.text.length
      ? "the text ends"
      : `found ${JSON.stringify(cut(this.text.slice(at, at + 24)))}`;
    return new JsonSyntaxError(`${found} ${placeOf(at)}; expected ${what}`, at);
  }
}

export function placeOf(at: number): string {
  return `at character ${at + 1}`;
}

export function cut(text: string): string {
  return text.length <= 20 ? text : `${text.slice(0, 20)}...`;
}
