/** Statements, as jinja2/parser.py parses them, with loop controls and transformers' `generation`. */
import { UnsupportedError } from "../../../python/values/value.ts";
import { ExpressionParser } from "./expression_parser.ts";
import { tokenize } from "./lexer.ts";
import type {
  AssignBlockNode,
  AssignNode,
  BlockNode,
  CallBlockNode,
  Expr,
  FilterBlockNode,
  FilterNode,
  ForNode,
  GenerationNode,
  IfNode,
  MacroNode,
  NameNode,
  OutputNode,
  Signature,
  Statement,
  TemplateNode,
  WithNode,
} from "./nodes.ts";
import { TokenStream } from "./token_stream.ts";

/** Throws a `TemplateSyntaxError`, or an `UnsupportedError` for tags that need a loader. */
export function parse(source: string): TemplateNode {
  return new Parser(new TokenStream(tokenize(source))).parse();
}

/** Python's compiler refuses about as deep a nesting. */
const MAX_DEPTH = 100;

class Parser extends ExpressionParser {
  #depth = 0;

  parse(): TemplateNode {
    return { kind: "Template", body: this.#subparse([]) };
  }

  /** Up to one of the end tags, which stays the current token. */
  #subparse(ends: readonly string[]): Statement[] {
    const body: Statement[] = [];
    let pending: Expr[] = [];
    const flush = () => {
      if (pending.length > 0) body.push({ kind: "Output", line: pending[0]!.line, nodes: pending });
      pending = [];
    };
    while (!this.stream.test("eof")) {
      const { type, line, value } = this.stream.next();
      if (type === "data") {
        pending.push({ kind: "TemplateData", line, data: String(value) });
      } else if (type === "variable_begin") {
        pending.push(this.parseTuple());
        this.stream.expect("variable_end");
      } else {
        flush();
        if (this.stream.test(...ends)) return body;
        body.push(this.#statement(ends));
        this.stream.expect("block_end");
      }
    }
    flush();
    if (ends.length > 0) {
      throw this.stream.error(`Unexpected end of template. Jinja was looking for the tags: ${tags(ends)}.`);
    }
    return body;
  }

  #statement(ends: readonly string[]): Statement {
    const { type, value, line } = this.stream.current;
    if (type !== "name") throw this.stream.error("tag name expected", line);
    if (++this.#depth > MAX_DEPTH) throw this.stream.error("too many statically nested blocks", line);
    try {
      return this.#tag(String(value), line, ends);
    } finally {
      this.#depth--;
    }
  }

  #tag(tag: string, line: number, ends: readonly string[]): Statement {
    this.stream.next();
    switch (tag) {
      case "for":
        return this.#for(line);
      case "if":
        return this.#if(line);
      case "set":
        return this.#set(line);
      case "macro":
        return this.#macro(line);
      case "call":
        return this.#callBlock(line);
      case "filter":
        return this.#filterBlock(line);
      case "with":
        return this.#with(line);
      case "block":
        return this.#block(line);
      case "print":
        return this.#print(line);
      case "generation":
        return this.#generation(line);
      case "break":
        return { kind: "Break", line };
      case "continue":
        return { kind: "Continue", line };
      case "autoescape":
      case "extends":
      case "include":
      case "import":
      case "from":
        throw new UnsupportedError(`the tag {% ${tag} %} (line ${line})`);
      default: {
        const looking = ends.length === 0 ? "" : ` Jinja was looking for the tags: ${tags(ends)}.`;
        throw this.stream.error(`Encountered unknown tag '${tag}'.${looking}`, line);
      }
    }
  }

  /** A body up to one of the end tags; `drop` takes the end tag's name away. */
  #body(ends: readonly string[], drop = true): Statement[] {
    this.stream.skipIf(":");
    this.stream.expect("block_end");
    const body = this.#subparse(ends.map((end) => `name:${end}`));
    if (drop) this.stream.next();
    return body;
  }

  #for(line: number): ForNode {
    const target = this.parseTarget({ end: "name:in" });
    this.stream.expect("name:in");
    const iter = this.parseTuple({ withCondition: false, end: "name:recursive" });
    const test = this.stream.skipIf("name:if") ? this.parseExpression() : null;
    const recursive = this.stream.skipIf("name:recursive");
    const body = this.#body(["endfor", "else"], false);
    const otherwise = this.stream.next().value === "endfor" ? [] : this.#body(["endfor"]);
    return { kind: "For", line, target, iter, body, otherwise, test, recursive };
  }

  #if(line: number): IfNode {
    const branch = (line: number) => ({
      line,
      test: this.parseTuple({ withCondition: false }),
      body: this.#body(["elif", "else", "endif"], false),
    });
    const first = branch(line);
    const elifs: IfNode[] = [];
    let otherwise: Statement[] = [];
    for (;;) {
      const token = this.stream.next();
      if (token.value === "elif") {
        elifs.push({ kind: "If", ...branch(token.line), elifs: [], otherwise: [] });
        continue;
      }
      if (token.value === "else") otherwise = this.#body(["endif"]);
      return { kind: "If", ...first, elifs, otherwise };
    }
  }

  #set(line: number): AssignNode | AssignBlockNode {
    const target = this.parseTarget({ withNamespace: true });
    if (this.stream.skipIf("=")) return { kind: "Assign", line, target, node: this.parseTuple() };
    const filter = this.parseFilter(null) as FilterNode | null;
    return { kind: "AssignBlock", line, target, filter, body: this.#body(["endset"]) };
  }

  #signature(): Signature {
    const args: NameNode[] = [];
    const defaults: Expr[] = [];
    this.stream.expect("(");
    while (!this.stream.test(")")) {
      if (args.length > 0) this.stream.expect(",");
      const { name, line } = this.parseName();
      if (args.some((arg) => arg.name === name)) {
        throw this.stream.error(`duplicate argument '${name}' in function definition`, line);
      }
      if (this.stream.skipIf("=")) defaults.push(this.parseExpression());
      else if (defaults.length > 0) throw this.stream.error("non-default argument follows default argument");
      args.push({ kind: "Name", line, name, ctx: "param" });
    }
    this.stream.expect(")");
    return { args, defaults };
  }

  #macro(line: number): MacroNode {
    const { name } = this.parseName();
    const signature = this.#signature();
    return { kind: "Macro", line, name, ...signature, body: this.#body(["endmacro"]) };
  }

  #callBlock(line: number): CallBlockNode {
    const signature = this.stream.test("(") ? this.#signature() : { args: [], defaults: [] };
    const call = this.parseExpression();
    if (call.kind !== "Call") throw this.stream.error("expected call", line);
    return { kind: "CallBlock", line, ...signature, call, body: this.#body(["endcall"]) };
  }

  #generation(line: number): GenerationNode {
    return { kind: "Generation", line, args: [], defaults: [], body: this.#body(["endgeneration"]) };
  }

  #filterBlock(line: number): FilterBlockNode {
    const filter = this.parseFilter(null, true) as FilterNode;
    return { kind: "FilterBlock", line, filter, body: this.#body(["endfilter"]) };
  }

  #with(line: number): WithNode {
    const targets: Expr[] = [];
    const values: Expr[] = [];
    while (!this.stream.test("block_end")) {
      if (targets.length > 0) this.stream.expect(",");
      const target = this.parseTarget();
      asParameter(target);
      targets.push(target);
      this.stream.expect("=");
      values.push(this.parseExpression());
    }
    return { kind: "With", line, targets, values, body: this.#body(["endwith"]) };
  }

  #block(line: number): BlockNode {
    const name = String(this.stream.expect("name").value);
    const scoped = this.stream.skipIf("name:scoped");
    const required = this.stream.skipIf("name:required");
    const body = this.#body(["endblock"]);
    this.stream.skipIf(`name:${name}`);
    return { kind: "Block", line, name, scoped, required, body };
  }

  #print(line: number): OutputNode {
    const nodes: Expr[] = [];
    while (!this.stream.test("block_end")) {
      if (nodes.length > 0) this.stream.expect(",");
      nodes.push(this.parseExpression());
    }
    return { kind: "Output", line, nodes };
  }
}

function asParameter(target: Expr): void {
  if (target.kind === "Name") target.ctx = "param";
  else if (target.kind === "Tuple") target.items.forEach(asParameter);
}

function tags(ends: readonly string[]): string {
  return ends.map((end) => `'${end.replace("name:", "")}'`).join(" or ");
}
