/** Expressions, as jinja2/parser.py parses them: one function per level of precedence, the loosest first. */
import { parseArguments, parseSequence, parseTupleOf } from "./comma_list.ts";
import type { Arguments, BinaryOperator, CompareOperator, Expr, FilterNode } from "./nodes.ts";
import { describeToken, matches, type TokenStream } from "./token_stream.ts";

const COMPARE_OPERATORS: ReadonlySet<string> = new Set(["==", "!=", "<", "<=", ">", ">="]);
const CONSTANTS: ReadonlyMap<string, boolean | null> = new Map([
  ["true", true],
  ["True", true],
  ["false", false],
  ["False", false],
  ["none", null],
  ["None", null],
]);
/** Tokens that begin a test's argument without brackets: `x is divisibleby 3`. */
const ARGUMENT_TYPES: ReadonlySet<string> = new Set(["name", "string", "integer", "float", "[", "{"]);
const NO_ARGUMENTS: Arguments = { args: [], kwargs: [], dynArgs: null, dynKwargs: null };

/** @param withCondition whether `a if b else c` may stand here */
export function parseExpression(stream: TokenStream, withCondition = true): Expr {
  return withCondition ? condition(stream) : or(stream);
}

/** Expressions between commas; a single one is no tuple. */
export function parseTuple(
  stream: TokenStream,
  options: { readonly withCondition?: boolean; readonly end?: string; readonly parenthesized?: boolean } = {},
): Expr {
  const { withCondition = true, ...others } = options;
  return parseTupleOf(stream, { ...others, parseItem: () => parseExpression(stream, withCondition) });
}

/** A target of `set`, `for` or `with`. */
export function parseTarget(
  stream: TokenStream,
  { withNamespace = false, ...options }: { readonly end?: string; readonly withNamespace?: boolean } = {},
): Expr {
  const target = parseTupleOf(stream, { ...options, parseItem: () => primary(stream, withNamespace) });
  markAssigned(stream, target);
  return target;
}

export function parseName(stream: TokenStream): { name: string; line: number } {
  const { value, line } = stream.expect("name");
  const name = String(value);
  if (CONSTANTS.has(name)) throw stream.error("can't assign to 'name'", line);
  return { name, line };
}

/** `| name(...)`, any number of times; with `inline`, the first one has no bar. */
export function parseFilter(
  stream: TokenStream,
  node: Expr | null,
  inline = false,
): FilterNode | Expr | null {
  while (stream.test("|") || inline) {
    if (!inline) stream.next();
    const { line } = stream.current;
    const name = dottedName(stream);
    const given = stream.test("(") ? callArguments(stream) : NO_ARGUMENTS;
    node = { kind: "Filter", line, node, name, ...given };
    inline = false;
  }
  return node;
}

function markAssigned(stream: TokenStream, target: Expr): void {
  if (target.kind === "Name") target.ctx = "store";
  else if (target.kind === "Tuple") target.items.forEach((item) => markAssigned(stream, item));
  else if (target.kind !== "NSRef") {
    throw stream.error(`can't assign to '${target.kind.toLowerCase()}'`, target.line);
  }
}

function condition(stream: TokenStream): Expr {
  let { line } = stream.current;
  let then = or(stream);
  while (stream.skipIf("name:if")) {
    const test = or(stream);
    const otherwise = stream.skipIf("name:else") ? condition(stream) : null;
    then = { kind: "Condition", line, test, then, otherwise };
    line = stream.current.line;
  }
  return then;
}

function or(stream: TokenStream): Expr {
  let left = and(stream);
  while (stream.test("name:or")) {
    const { line } = stream.next();
    left = { kind: "Logic", line, op: "or", left, right: and(stream) };
  }
  return left;
}

function and(stream: TokenStream): Expr {
  let left = not(stream);
  while (stream.test("name:and")) {
    const { line } = stream.next();
    left = { kind: "Logic", line, op: "and", left, right: not(stream) };
  }
  return left;
}

function not(stream: TokenStream): Expr {
  if (!stream.test("name:not")) return compare(stream);
  const { line } = stream.next();
  return { kind: "Unary", line, op: "not", node: not(stream) };
}

function compare(stream: TokenStream): Expr {
  const { line } = stream.current;
  const node = sum(stream);
  const ops: { op: CompareOperator; node: Expr }[] = [];
  for (let op = compareOperator(stream); op !== null; op = compareOperator(stream)) {
    ops.push({ op, node: sum(stream) });
  }
  return ops.length === 0 ? node : { kind: "Compare", line, node, ops };
}

function compareOperator(stream: TokenStream): CompareOperator | null {
  if (COMPARE_OPERATORS.has(stream.current.type)) return stream.next().type as CompareOperator;
  if (stream.skipIf("name:in")) return "in";
  if (!stream.test("name:not") || !matches(stream.look(), "name:in")) return null;
  stream.next();
  stream.next();
  return "notin";
}

function sum(stream: TokenStream): Expr {
  return binary(stream, ["+", "-"], concat);
}

function concat(stream: TokenStream): Expr {
  const { line } = stream.current;
  const nodes = [product(stream)];
  while (stream.skipIf("~")) nodes.push(product(stream));
  return nodes.length === 1 ? nodes[0]! : { kind: "Concat", line, nodes };
}

function product(stream: TokenStream): Expr {
  return binary(stream, ["*", "/", "//", "%"], power);
}

/** Binds from the left, unlike Python's. */
function power(stream: TokenStream): Expr {
  return binary(stream, ["**"], (operand) => unary(operand));
}

function binary(
  stream: TokenStream,
  operators: readonly BinaryOperator[],
  parse: (stream: TokenStream) => Expr,
): Expr {
  let left = parse(stream);
  while (stream.test(...operators)) {
    const { line, type } = stream.next();
    left = { kind: "Binary", line, op: type as BinaryOperator, left, right: parse(stream) };
  }
  return left;
}

function unary(stream: TokenStream, withFilter = true): Expr {
  const { type, line } = stream.current;
  let node: Expr;
  if (type === "-" || type === "+") {
    stream.next();
    node = { kind: "Unary", line, op: type, node: unary(stream, false) };
  } else node = primary(stream);
  node = postfix(stream, node);
  return withFilter ? filters(stream, node) : node;
}

function primary(stream: TokenStream, withNamespace = false): Expr {
  const { type, line } = stream.current;
  if (type === "name") return named(stream, withNamespace);
  if (type === "string") {
    let value = "";
    while (stream.test("string")) value += stream.next().value;
    return { kind: "Const", line, value };
  }
  if (type === "integer" || type === "float") return { kind: "Const", line, value: stream.next().value };
  if (stream.skipIf("(")) {
    const node = parseTuple(stream, { parenthesized: true });
    stream.expect(")");
    return node;
  }
  if (stream.skipIf("[")) {
    return { kind: "List", line, items: parseSequence(stream, "]", () => parseExpression(stream)) };
  }
  if (stream.skipIf("{")) {
    return { kind: "Dict", line, items: parseSequence(stream, "}", () => pair(stream)) };
  }
  throw stream.error(`unexpected '${describeToken(stream.current)}'`, line);
}

function named(stream: TokenStream, withNamespace: boolean): Expr {
  const { line, value } = stream.next();
  const name = String(value);
  const constant = CONSTANTS.get(name);
  if (constant !== undefined) return { kind: "Const", line, value: constant };
  if (withNamespace && stream.skipIf(".")) {
    return { kind: "NSRef", line, name, attr: String(stream.expect("name").value) };
  }
  return { kind: "Name", line, name, ctx: "load" };
}

function pair(stream: TokenStream): { key: Expr; value: Expr } {
  const key = parseExpression(stream);
  stream.expect(":");
  return { key, value: parseExpression(stream) };
}

function postfix(stream: TokenStream, node: Expr): Expr {
  for (;;) {
    if (stream.test(".", "[")) node = subscript(stream, node);
    else if (stream.test("(")) node = call(stream, node);
    else return node;
  }
}

function filters(stream: TokenStream, node: Expr): Expr {
  for (;;) {
    if (stream.test("|")) node = parseFilter(stream, node)!;
    else if (stream.test("name:is")) node = isTest(stream, node);
    else if (stream.test("(")) node = call(stream, node);
    else return node;
  }
}

function subscript(stream: TokenStream, node: Expr): Expr {
  const { line, type } = stream.next();
  if (type === ".") {
    const key = stream.next();
    if (key.type === "name") return { kind: "Getattr", line, node, attr: String(key.value) };
    if (key.type !== "integer") throw stream.error("expected name or number", key.line);
    return { kind: "Getitem", line, node, arg: { kind: "Const", line: key.line, value: key.value } };
  }
  const items: Expr[] = [];
  while (!stream.test("]")) {
    if (items.length > 0) stream.expect(",");
    items.push(keyOrSlice(stream));
  }
  stream.expect("]");
  const arg: Expr = items.length === 1 ? items[0]! : { kind: "Tuple", line, items };
  if (arg.kind === "Tuple" && items.some(({ kind }) => kind === "Slice")) {
    throw stream.error("invalid syntax: a slice beside other subscripts", line);
  }
  return { kind: "Getitem", line, node, arg };
}

function keyOrSlice(stream: TokenStream): Expr {
  const { line } = stream.current;
  let start: Expr | null = null;
  if (!stream.test(":")) {
    start = parseExpression(stream);
    if (!stream.test(":")) return start;
  }
  stream.next();
  const bound = (...ends: string[]) => stream.test(...ends) ? null : parseExpression(stream);
  const stop = bound(":", "]", ",");
  const step = stream.skipIf(":") ? bound("]", ",") : null;
  return { kind: "Slice", line, start, stop, step };
}

function call(stream: TokenStream, node: Expr): Expr {
  const { line } = stream.current;
  return { kind: "Call", line, node, ...callArguments(stream) };
}

function callArguments(stream: TokenStream): Arguments {
  return parseArguments(stream, () => parseExpression(stream));
}

function isTest(stream: TokenStream, node: Expr): Expr {
  const { line } = stream.next();
  const negated = stream.skipIf("name:not");
  const name = dottedName(stream);
  const given = stream.test("(") ? callArguments(stream) : bareArgument(stream);
  const test: Expr = { kind: "Test", line, node, name, ...given };
  return negated ? { kind: "Unary", line, op: "not", node: test } : test;
}

/** `is divisibleby 3`: one argument without brackets. */
function bareArgument(stream: TokenStream): Arguments {
  const isGiven = ARGUMENT_TYPES.has(stream.current.type) && !stream.test("name:else", "name:or", "name:and");
  if (!isGiven) return NO_ARGUMENTS;
  if (stream.test("name:is")) throw stream.error("You cannot chain multiple tests with is");
  return { ...NO_ARGUMENTS, args: [postfix(stream, primary(stream))] };
}

function dottedName(stream: TokenStream): string {
  let name = String(stream.expect("name").value);
  while (stream.skipIf(".")) name += `.${stream.expect("name").value}`;
  return name;
}
