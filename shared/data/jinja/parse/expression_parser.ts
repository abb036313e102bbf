/** Expressions, as jinja2/parser.py parses them: one method for each level of precedence. */
import { TemplateSyntaxError } from "./errors.ts";
import type { Arguments, BinaryOperator, CallNode, CompareOperator, Expr, FilterNode } from "./nodes.ts";
import { describeToken, matches, type TokenStream } from "./token_stream.ts";

const COMPARE_OPERATORS: ReadonlySet<string> = new Set(["==", "!=", "<", "<=", ">", ">="]);
const RESERVED: ReadonlySet<string> = new Set(["true", "false", "none", "True", "False", "None"]);
/** Tokens that begin a test's argument where it has no brackets: `x is divisibleby 3`. */
const ARGUMENT_TYPES: ReadonlySet<string> = new Set(["name", "string", "integer", "float", "[", "{"]);
const NO_ARGUMENTS: Arguments = { args: [], kwargs: [], dynArgs: null, dynKwargs: null };

export class ExpressionParser {
  protected readonly stream: TokenStream;

  constructor(stream: TokenStream) {
    this.stream = stream;
  }

  parseExpression(withCondition = true): Expr {
    return withCondition ? this.#condition() : this.#or();
  }

  /** Expressions between commas; one alone is no tuple. */
  parseTuple(
    options: {
      readonly withCondition?: boolean;
      readonly end?: string;
      readonly parenthesized?: boolean;
      readonly parse?: () => Expr;
    } = {},
  ): Expr {
    const { withCondition = true, end, parenthesized = false } = options;
    const parse = options.parse ?? (() => this.parseExpression(withCondition));
    let line = this.stream.current.line;
    const items: Expr[] = [];
    let isTuple = false;
    for (;;) {
      if (items.length > 0) this.stream.expect(",");
      if (
        this.stream.test("variable_end", "block_end", ")") || (end !== undefined && this.stream.test(end))
      ) {
        break;
      }
      items.push(parse());
      if (!this.stream.test(",")) break;
      isTuple = true;
      line = this.stream.current.line;
    }
    if (!isTuple) {
      if (items.length > 0) return items[0]!;
      if (!parenthesized) {
        throw this.stream.error(`Expected an expression, got '${describeToken(this.stream.current)}'`);
      }
    }
    return { kind: "Tuple", line, items };
  }

  /** A target of `set`, `for` or `with`. */
  parseTarget({ end, withNamespace = false }: { end?: string; withNamespace?: boolean } = {}): Expr {
    const target = this.parseTuple({
      parse: () => this.#primary(withNamespace),
      ...(end === undefined ? {} : { end }),
    });
    this.#assignable(target);
    return target;
  }

  parseName(): { name: string; line: number } {
    const { value, line } = this.stream.expect("name");
    const name = String(value);
    if (RESERVED.has(name)) throw this.stream.error("can't assign to 'name'", line);
    return { name, line };
  }

  #assignable(target: Expr): void {
    if (target.kind === "Name") target.ctx = "store";
    else if (target.kind === "Tuple") target.items.forEach((item) => this.#assignable(item));
    else if (target.kind !== "NSRef") {
      throw this.stream.error(`can't assign to '${target.kind.toLowerCase()}'`, target.line);
    }
  }

  #condition(): Expr {
    let line = this.stream.current.line;
    let then = this.#or();
    while (this.stream.skipIf("name:if")) {
      const test = this.#or();
      const otherwise = this.stream.skipIf("name:else") ? this.#condition() : null;
      then = { kind: "Condition", line, test, then, otherwise };
      line = this.stream.current.line;
    }
    return then;
  }

  #or(): Expr {
    let left = this.#and();
    while (this.stream.test("name:or")) {
      const { line } = this.stream.next();
      left = { kind: "Logic", line, op: "or", left, right: this.#and() };
    }
    return left;
  }

  #and(): Expr {
    let left = this.#not();
    while (this.stream.test("name:and")) {
      const { line } = this.stream.next();
      left = { kind: "Logic", line, op: "and", left, right: this.#not() };
    }
    return left;
  }

  #not(): Expr {
    if (!this.stream.test("name:not")) return this.#compare();
    const { line } = this.stream.next();
    return { kind: "Unary", line, op: "not", node: this.#not() };
  }

  #compare(): Expr {
    const line = this.stream.current.line;
    const node = this.#sum();
    const ops: { op: CompareOperator; node: Expr }[] = [];
    for (;;) {
      const { type } = this.stream.current;
      if (COMPARE_OPERATORS.has(type)) {
        this.stream.next();
        ops.push({ op: type as CompareOperator, node: this.#sum() });
      } else if (this.stream.skipIf("name:in")) {
        ops.push({ op: "in", node: this.#sum() });
      } else if (this.stream.test("name:not") && matches(this.stream.look(), "name:in")) {
        this.stream.next();
        this.stream.next();
        ops.push({ op: "notin", node: this.#sum() });
      } else break;
    }
    return ops.length === 0 ? node : { kind: "Compare", line, node, ops };
  }

  #sum(): Expr {
    return this.#binary(["+", "-"], () => this.#concat());
  }

  #concat(): Expr {
    const line = this.stream.current.line;
    const nodes = [this.#product()];
    while (this.stream.skipIf("~")) nodes.push(this.#product());
    return nodes.length === 1 ? nodes[0]! : { kind: "Concat", line, nodes };
  }

  #product(): Expr {
    return this.#binary(["*", "/", "//", "%"], () => this.#power());
  }

  /** Binds from the left, unlike Python's. */
  #power(): Expr {
    return this.#binary(["**"], () => this.#unary());
  }

  #binary(operators: readonly BinaryOperator[], parse: () => Expr): Expr {
    let left = parse();
    while (this.stream.test(...operators)) {
      const { line, type } = this.stream.next();
      left = { kind: "Binary", line, op: type as BinaryOperator, left, right: parse() };
    }
    return left;
  }

  #unary(withFilter = true): Expr {
    const { type, line } = this.stream.current;
    let node: Expr;
    if (type === "-" || type === "+") {
      this.stream.next();
      node = { kind: "Unary", line, op: type, node: this.#unary(false) };
    } else node = this.#primary();
    node = this.#postfix(node);
    return withFilter ? this.#filters(node) : node;
  }

  #primary(withNamespace = false): Expr {
    const token = this.stream.current;
    const { line } = token;
    switch (token.type) {
      case "name":
        return this.#name(withNamespace);
      case "string": {
        let value = "";
        while (this.stream.test("string")) value += this.stream.next().value;
        return { kind: "Const", line, value };
      }
      case "integer":
      case "float":
        return { kind: "Const", line, value: this.stream.next().value };
      case "(": {
        this.stream.next();
        const node = this.parseTuple({ parenthesized: true });
        this.stream.expect(")");
        return node;
      }
      case "[": {
        this.stream.next();
        return { kind: "List", line, items: this.#sequence("]", () => this.parseExpression()) };
      }
      case "{": {
        this.stream.next();
        return { kind: "Dict", line, items: this.#sequence("}", () => this.#pair()) };
      }
      default:
        throw this.stream.error(`unexpected '${describeToken(token)}'`, line);
    }
  }

  #name(withNamespace: boolean): Expr {
    const { line, value } = this.stream.next();
    const name = String(value);
    if (name === "true" || name === "True") return { kind: "Const", line, value: true };
    if (name === "false" || name === "False") return { kind: "Const", line, value: false };
    if (name === "none" || name === "None") return { kind: "Const", line, value: null };
    if (withNamespace && this.stream.skipIf(".")) {
      return { kind: "NSRef", line, name, attr: String(this.stream.expect("name").value) };
    }
    return { kind: "Name", line, name, ctx: "load" };
  }

  #sequence<T>(end: string, parse: () => T): T[] {
    const items: T[] = [];
    while (!this.stream.test(end)) {
      if (items.length > 0) this.stream.expect(",");
      if (this.stream.test(end)) break;
      items.push(parse());
    }
    this.stream.expect(end);
    return items;
  }

  #pair(): { key: Expr; value: Expr } {
    const key = this.parseExpression();
    this.stream.expect(":");
    return { key, value: this.parseExpression() };
  }

  #postfix(node: Expr): Expr {
    for (;;) {
      if (this.stream.test(".", "[")) node = this.#subscript(node);
      else if (this.stream.test("(")) node = this.#call(node);
      else return node;
    }
  }

  #filters(node: Expr): Expr {
    for (;;) {
      if (this.stream.test("|")) node = this.parseFilter(node)!;
      else if (this.stream.test("name:is")) node = this.#isTest(node);
      else if (this.stream.test("(")) node = this.#call(node);
      else return node;
    }
  }

  #subscript(node: Expr): Expr {
    const { line, type } = this.stream.next();
    if (type === ".") {
      const attribute = this.stream.next();
      if (attribute.type === "name") return { kind: "Getattr", line, node, attr: String(attribute.value) };
      if (attribute.type !== "integer") throw this.stream.error("expected name or number", attribute.line);
      return {
        kind: "Getitem",
        line,
        node,
        arg: { kind: "Const", line: attribute.line, value: attribute.value },
      };
    }
    const items: Expr[] = [];
    while (!this.stream.test("]")) {
      if (items.length > 0) this.stream.expect(",");
      items.push(this.#subscribed());
    }
    this.stream.expect("]");
    const arg: Expr = items.length === 1 ? items[0]! : { kind: "Tuple", line, items };
    if (arg.kind === "Tuple" && items.some(({ kind }) => kind === "Slice")) {
      throw this.stream.error("invalid syntax: a slice beside other subscripts", line);
    }
    return { kind: "Getitem", line, node, arg };
  }

  #subscribed(): Expr {
    const line = this.stream.current.line;
    let start: Expr | null = null;
    if (!this.stream.test(":")) {
      start = this.parseExpression();
      if (!this.stream.test(":")) return start;
    }
    this.stream.next();
    const bound = (...ends: string[]) => this.stream.test(...ends) ? null : this.parseExpression();
    const stop = bound(":", "]", ",");
    const step = this.stream.skipIf(":") ? bound("]", ",") : null;
    return { kind: "Slice", line, start, stop, step };
  }

  #call(node: Expr): CallNode {
    const line = this.stream.current.line;
    return { kind: "Call", line, node, ...this.#callArguments() };
  }

  #callArguments(): Arguments {
    const { line } = this.stream.expect("(");
    const args: Expr[] = [];
    const kwargs: { key: string; value: Expr }[] = [];
    let dynArgs: Expr | null = null;
    let dynKwargs: Expr | null = null;
    const ensure = (holds: boolean) => {
      if (!holds) throw this.stream.error("invalid syntax for function call expression", line);
    };
    let needsComma = false;
    while (!this.stream.test(")")) {
      if (needsComma) {
        this.stream.expect(",");
        if (this.stream.test(")")) break;
      }
      if (this.stream.test("*")) {
        ensure(dynArgs === null && dynKwargs === null);
        this.stream.next();
        dynArgs = this.parseExpression();
      } else if (this.stream.test("**")) {
        ensure(dynKwargs === null);
        this.stream.next();
        dynKwargs = this.parseExpression();
      } else if (this.stream.test("name") && this.stream.look().type === "=") {
        ensure(dynKwargs === null);
        const key = String(this.stream.next().value);
        this.stream.next();
        if (kwargs.some((given) => given.key === key)) {
          throw new TemplateSyntaxError(`keyword argument repeated: ${key}`, line);
        }
        kwargs.push({ key, value: this.parseExpression() });
      } else {
        ensure(dynArgs === null && dynKwargs === null && kwargs.length === 0);
        args.push(this.parseExpression());
      }
      needsComma = true;
    }
    this.stream.expect(")");
    return { args, kwargs, dynArgs, dynKwargs };
  }

  /** `| name(...)`, as often as it comes; with `inline`, the first one's bar is not there. */
  parseFilter(node: Expr | null, inline = false): FilterNode | Expr | null {
    while (this.stream.test("|") || inline) {
      if (!inline) this.stream.next();
      const { line } = this.stream.current;
      const name = this.#dottedName();
      const given = this.stream.test("(") ? this.#callArguments() : NO_ARGUMENTS;
      node = { kind: "Filter", line, node, name, ...given };
      inline = false;
    }
    return node;
  }

  #isTest(node: Expr): Expr {
    const { line } = this.stream.next();
    const negated = this.stream.skipIf("name:not");
    const name = this.#dottedName();
    const given = this.stream.test("(") ? this.#callArguments() : this.#bareArgument();
    const test: Expr = { kind: "Test", line, node, name, ...given };
    return negated ? { kind: "Unary", line, op: "not", node: test } : test;
  }

  /** `is divisibleby 3`: one argument without brackets. */
  #bareArgument(): Arguments {
    const given = ARGUMENT_TYPES.has(this.stream.current.type) &&
      !this.stream.test("name:else", "name:or", "name:and");
    if (!given) return NO_ARGUMENTS;
    if (this.stream.test("name:is")) throw this.stream.error("You cannot chain multiple tests with is");
    return { ...NO_ARGUMENTS, args: [this.#postfix(this.#primary())] };
  }

  #dottedName(): string {
    let name = String(this.stream.expect("name").value);
    while (this.stream.skipIf(".")) name += `.${this.stream.expect("name").value}`;
    return name;
  }
}
