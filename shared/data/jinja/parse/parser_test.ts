import { assertEquals, assertThrows } from "@std/assert";
import { UnsupportedError } from "../../../python/values/value.ts";
import { TemplateSyntaxError } from "./errors.ts";
import { parseExpression } from "./expression.ts";
import { tokenize } from "./lexer.ts";
import type { Expr } from "./nodes.ts";
import { parse } from "./parser.ts";
import { TokenStream } from "./token_stream.ts";

/** An expression with brackets around each operation. */
function bracketed(node: Expr): string {
  if (node.kind === "Const") return String(node.value);
  if (node.kind === "Name") return node.name;
  if (node.kind === "Unary") return `(${node.op} ${bracketed(node.node)})`;
  if (node.kind === "Binary" || node.kind === "Logic") {
    return `(${bracketed(node.left)} ${node.op} ${bracketed(node.right)})`;
  }
  if (node.kind === "Compare") {
    return `(${
      [bracketed(node.node), ...node.ops.map(({ op, node }) => `${op} ${bracketed(node)}`)].join(" ")
    })`;
  }
  if (node.kind === "Filter") return `${node.name}[${bracketed(node.node!)}]`;
  throw new Error(`no case for ${node.kind}`);
}

function expression(source: string): string {
  const stream = new TokenStream(tokenize(`{{ ${source} }}`));
  stream.expect("variable_begin");
  return bracketed(parseExpression(stream));
}

Deno.test("operators bind as in Jinja2", () => {
  for (
    const [source, expected] of [
      ["a or b and not c", "(a or (b and (not c)))"],
      ["1 + 2 * 3 - 4", "((1 + (2 * 3)) - 4)"],
      ["2 ** 3 ** 2", "((2 ** 3) ** 2)"],
      ["-a | abs", "abs[(- a)]"],
      ["a < b not in c", "(a < b notin c)"],
    ] as const
  ) assertEquals(expression(source), expected);
});

Deno.test("a tag's body ends at its own end tag", () => {
  const { body } = parse("{% if a %}x{% for b in c %}y{% else %}z{% endfor %}{% elif d %}{% endif %}t");
  assertEquals(body.map(({ kind }) => kind), ["If", "Output"]);
  const [statement] = body;
  if (statement?.kind !== "If") throw new Error("no if");
  assertEquals(statement.body.map(({ kind }) => kind), ["Output", "For"]);
  assertEquals([statement.elifs.length, statement.otherwise.length], [1, 0]);
});

Deno.test("unknown tags are a syntax error, tags that need a loader are not supported", () => {
  assertThrows(() => parse("{% constructor %}"), TemplateSyntaxError, "unknown tag 'constructor'");
  assertThrows(() => parse("{% if a %}{% oops %}"), TemplateSyntaxError, "looking for the tags: 'elif' or");
  assertThrows(() => parse('\n{% include "a" %}'), UnsupportedError, "the tag {% include %} (line 2)");
});
