/** Template text and the statements between it, as jinja2/parser.py nests them. */
import { parseTuple } from "./expression.ts";
import { tokenize } from "./lexer.ts";
import type { Expr, Statement, TemplateNode } from "./nodes.ts";
import { type TagInput, TAGS } from "./tags.ts";
import { TokenStream } from "./token_stream.ts";

/** Throws a `TemplateSyntaxError`, or an `UnsupportedError` for tags that need a loader. */
export function parse(source: string): TemplateNode {
  return { kind: "Template", body: new Parser(new TokenStream(tokenize(source))).parse([]) };
}

/** Python's compiler refuses about as deep a nesting. */
const MAX_DEPTH = 100;

class Parser {
  readonly #stream: TokenStream;
  readonly #input: TagInput;
  #depth = 0;

  constructor(stream: TokenStream) {
    this.#stream = stream;
    this.#input = { stream, body: (ends, keepEnd) => this.#body(ends, keepEnd) };
  }

  /** Statements up to one of the end tags, which stays the current token. */
  parse(ends: readonly string[]): Statement[] {
    const stream = this.#stream;
    const body: Statement[] = [];
    let pending: Expr[] = [];
    const flush = () => {
      if (pending.length > 0) body.push({ kind: "Output", line: pending[0]!.line, nodes: pending });
      pending = [];
    };
    while (!stream.test("eof")) {
      const { type, line, value } = stream.next();
      if (type === "data") {
        pending.push({ kind: "TemplateData", line, data: String(value) });
      } else if (type === "variable_begin") {
        pending.push(parseTuple(stream));
        stream.expect("variable_end");
      } else {
        flush();
        if (stream.test(...ends)) return body;
        body.push(this.#statement(ends));
        stream.expect("block_end");
      }
    }
    flush();
    if (ends.length > 0) {
      throw stream.error(`Unexpected end of template. Jinja was looking for the tags: ${tags(ends)}.`);
    }
    return body;
  }

  #statement(ends: readonly string[]): Statement {
    const { type, value, line } = this.#stream.current;
    if (type !== "name") throw this.#stream.error("tag name expected", line);
    if (++this.#depth > MAX_DEPTH) throw this.#stream.error("too many statically nested blocks", line);
    try {
      this.#stream.next();
      const tag = String(value);
      if (Object.hasOwn(TAGS, tag)) return TAGS[tag]!(this.#input, line);
      const looking = ends.length === 0 ? "" : ` Jinja was looking for the tags: ${tags(ends)}.`;
      throw this.#stream.error(`Encountered unknown tag '${tag}'.${looking}`, line);
    } finally {
      this.#depth--;
    }
  }

  #body(ends: readonly string[], keepEnd = false): Statement[] {
    this.#stream.skipIf(":");
    this.#stream.expect("block_end");
    const body = this.parse(ends.map((end) => `name:${end}`));
    if (!keepEnd) this.#stream.next();
    return body;
  }
}

function tags(ends: readonly string[]): string {
  return ends.map((end) => `'${end.replace("name:", "")}'`).join(" or ");
}
