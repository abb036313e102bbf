import { LoraFleetError, quote } from "../../errors.ts";

/** A pattern and the position that is read next. */
export class Cursor {
  readonly pattern: string;
  at = 0;

  constructor(pattern: string) {
    this.pattern = pattern;
  }

  get next(): string | undefined {
    return this.pattern[this.at];
  }

  /** What is not read yet. */
  get rest(): string {
    return this.pattern.slice(this.at);
  }

  /** Consumes `text` if it stands here. */
  take(text: string): boolean {
    if (!this.pattern.startsWith(text, this.at)) return false;
    this.at += text.length;
    return true;
  }

  /** The error for what stands here. */
  fault(why: string): LoraFleetError {
    return new LoraFleetError(
      "invalid_request",
      `at character ${this.at + 1} of ${quote(this.pattern)}: ${why}`,
    );
  }
}
