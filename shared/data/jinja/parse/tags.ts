/** Each tag's statement, as jinja2/parser.py parses it, with loop controls and transformers' `generation`. */
import { UnsupportedError } from "../../../python/values/value.ts";
import { parseExpression, parseFilter, parseName, parseTarget, parseTuple } from "./expression.ts";
import type { Expr, FilterNode, IfNode, NameNode, Signature, Statement } from "./nodes.ts";
import type { TokenStream } from "./token_stream.ts";

/** What a tag reads from: its own tokens, and the statements up to its end tag. */
export interface TagInput {
  readonly stream: TokenStream;
  /** A body up to one of the end tags, whose name is consumed unless `keepEnd` is set. */
  body(ends: readonly string[], keepEnd?: boolean): Statement[];
}

/** Parses what follows a tag's name, on the line of that name. */
type ParseTag = (input: TagInput, line: number) => Statement;

/** By name. A tag that needs a loader throws an `UnsupportedError`. */
export const TAGS: Readonly<Record<string, ParseTag>> = {
  for: parseFor,
  if: parseIf,
  set: parseSet,
  macro: parseMacro,
  call: parseCall,
  filter({ stream, body }, line) {
    const filter = parseFilter(stream, null, true) as FilterNode;
    return { kind: "FilterBlock", line, filter, body: body(["endfilter"]) };
  },
  with: parseWith,
  block: parseBlock,
  print: parsePrint,
  generation: ({ body }, line) => (
    { kind: "Generation", line, args: [], defaults: [], body: body(["endgeneration"]) }
  ),
  break: (_, line) => ({ kind: "Break", line }),
  continue: (_, line) => ({ kind: "Continue", line }),
  autoescape: unsupported("autoescape"),
  extends: unsupported("extends"),
  include: unsupported("include"),
  import: unsupported("import"),
  from: unsupported("from"),
};

function unsupported(tag: string): ParseTag {
  return (_, line) => {
    throw new UnsupportedError(`the tag {% ${tag} %} (line ${line})`);
  };
}

function parseFor({ stream, body }: TagInput, line: number): Statement {
  const target = parseTarget(stream, { end: "name:in" });
  stream.expect("name:in");
  const iter = parseTuple(stream, { withCondition: false, end: "name:recursive" });
  const test = stream.skipIf("name:if") ? parseExpression(stream) : null;
  const recursive = stream.skipIf("name:recursive");
  const repeated = body(["endfor", "else"], true);
  const otherwise = stream.next().value === "endfor" ? [] : body(["endfor"]);
  return { kind: "For", line, target, iter, body: repeated, otherwise, test, recursive };
}

function parseIf({ stream, body }: TagInput, line: number): IfNode {
  const branch = (line: number) => ({
    line,
    test: parseTuple(stream, { withCondition: false }),
    body: body(["elif", "else", "endif"], true),
  });
  const first = branch(line);
  const elifs: IfNode[] = [];
  let end = stream.next();
  for (; end.value === "elif"; end = stream.next()) {
    elifs.push({ kind: "If", ...branch(end.line), elifs: [], otherwise: [] });
  }
  return { kind: "If", ...first, elifs, otherwise: end.value === "else" ? body(["endif"]) : [] };
}

function parseSet({ stream, body }: TagInput, line: number): Statement {
  const target = parseTarget(stream, { withNamespace: true });
  if (stream.skipIf("=")) return { kind: "Assign", line, target, node: parseTuple(stream) };
  const filter = parseFilter(stream, null) as FilterNode | null;
  return { kind: "AssignBlock", line, target, filter, body: body(["endset"]) };
}

function parseSignature(stream: TokenStream): Signature {
  const args: NameNode[] = [];
  const defaults: Expr[] = [];
  stream.expect("(");
  while (!stream.test(")")) {
    if (args.length > 0) stream.expect(",");
    const { name, line } = parseName(stream);
    if (args.some((arg) => arg.name === name)) {
      throw stream.error(`duplicate argument '${name}' in function definition`, line);
    }
    if (stream.skipIf("=")) defaults.push(parseExpression(stream));
    else if (defaults.length > 0) throw stream.error("non-default argument follows default argument");
    args.push({ kind: "Name", line, name, ctx: "param" });
  }
  stream.expect(")");
  return { args, defaults };
}

function parseMacro({ stream, body }: TagInput, line: number): Statement {
  const { name } = parseName(stream);
  const signature = parseSignature(stream);
  return { kind: "Macro", line, name, ...signature, body: body(["endmacro"]) };
}

function parseCall({ stream, body }: TagInput, line: number): Statement {
  const signature = stream.test("(") ? parseSignature(stream) : { args: [], defaults: [] };
  const call = parseExpression(stream);
  if (call.kind !== "Call") throw stream.error("expected call", line);
  return { kind: "CallBlock", line, ...signature, call, body: body(["endcall"]) };
}

function parseWith({ stream, body }: TagInput, line: number): Statement {
  const targets: Expr[] = [];
  const values: Expr[] = [];
  while (!stream.test("block_end")) {
    if (targets.length > 0) stream.expect(",");
    const target = parseTarget(stream);
    markAsParameter(target);
    targets.push(target);
    stream.expect("=");
    values.push(parseExpression(stream));
  }
  return { kind: "With", line, targets, values, body: body(["endwith"]) };
}

function markAsParameter(target: Expr): void {
  if (target.kind === "Name") target.ctx = "param";
  else if (target.kind === "Tuple") target.items.forEach(markAsParameter);
}

function parseBlock({ stream, body }: TagInput, line: number): Statement {
  const name = String(stream.expect("name").value);
  const scoped = stream.skipIf("name:scoped");
  const required = stream.skipIf("name:required");
  const content = body(["endblock"]);
  stream.skipIf(`name:${name}`);
  return { kind: "Block", line, name, scoped, required, body: content };
}

function parsePrint({ stream }: TagInput, line: number): Statement {
  const nodes: Expr[] = [];
  while (!stream.test("block_end")) {
    if (nodes.length > 0) stream.expect(",");
    nodes.push(parseExpression(stream));
  }
  return { kind: "Output", line, nodes };
}
