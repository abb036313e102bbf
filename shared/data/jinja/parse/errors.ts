/** A template that Jinja2 itself would not compile. */
export class TemplateSyntaxError extends Error {
  override readonly name = "TemplateSyntaxError";

  /** `line` counts from 1. */
  constructor(message: string, line: number) {
    super(`line ${line}: ${message}`);
  }
}
