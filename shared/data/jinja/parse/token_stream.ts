import { TemplateSyntaxError } from "./errors.ts";
import type { Token } from "./lexer.ts";

/** Tokens with one place to look at; tests are a type ("comma" is ",") or "name:in". */
export class TokenStream {
  readonly #tokens: readonly Token[];
  #at = 0;

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens;
  }

  get current(): Token {
    return this.#tokens[this.#at]!;
  }

  look(): Token {
    return this.#tokens[this.#at + 1] ?? this.#tokens.at(-1)!;
  }

  next(): Token {
    const token = this.current;
    if (token.type !== "eof") this.#at++;
    return token;
  }

  test(...expressions: readonly string[]): boolean {
    return expressions.some((expression) => matches(this.current, expression));
  }

  skipIf(expression: string): boolean {
    if (!this.test(expression)) return false;
    this.next();
    return true;
  }

  /** Throws a `TemplateSyntaxError` for any other token. */
  expect(expression: string): Token {
    if (!this.test(expression)) {
      const wanted = describe(expression);
      throw this.error(
        this.current.type === "eof"
          ? `unexpected end of template, expected '${wanted}'.`
          : `expected token '${wanted}', got '${describeToken(this.current)}'`,
      );
    }
    return this.next();
  }

  error(message: string, line = this.current.line): TemplateSyntaxError {
    return new TemplateSyntaxError(message, line);
  }
}

export function matches(token: Token, expression: string): boolean {
  return token.type === expression ||
    (token.type === "name" && expression.startsWith("name:") && expression.slice(5) === token.value);
}

export function describeToken({ type, value }: Token): string {
  return type === "name" ? String(value) : describe(type);
}

const DESCRIPTIONS: Readonly<Record<string, string>> = {
  block_begin: "begin of statement block",
  block_end: "end of statement block",
  variable_begin: "begin of print statement",
  variable_end: "end of print statement",
  eof: "end of template",
  data: "template data / text",
};

function describe(expression: string): string {
  if (expression.startsWith("name:")) return expression.slice(5);
  return DESCRIPTIONS[expression] ?? expression;
}
