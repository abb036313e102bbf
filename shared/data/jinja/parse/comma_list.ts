/** Lists between commas. Their items are parsed by a callback, since brackets may hold any expression. */
import { TemplateSyntaxError } from "./errors.ts";
import type { Arguments, Expr } from "./nodes.ts";
import { describeToken, type TokenStream } from "./token_stream.ts";

/** Items up to the token `end`, which is consumed; a comma may follow the last one. */
export function parseSequence<T>(stream: TokenStream, end: string, parseItem: () => T): T[] {
  const items: T[] = [];
  while (!stream.test(end)) {
    if (items.length > 0) stream.expect(",");
    if (stream.test(end)) break;
    items.push(parseItem());
  }
  stream.expect(end);
  return items;
}

interface TupleOptions {
  readonly parseItem: () => Expr;
  /** Ends the tuple, besides the end of the tag and ")". */
  readonly end?: string;
  /** Whether it may be empty. */
  readonly parenthesized?: boolean;
}

/** A tuple; a single expression without a comma stays itself. */
export function parseTupleOf(stream: TokenStream, options: TupleOptions): Expr {
  const { parseItem, end, parenthesized = false } = options;
  let { line } = stream.current;
  const items: Expr[] = [];
  let isTuple = false;
  for (;;) {
    if (items.length > 0) stream.expect(",");
    if (stream.test("variable_end", "block_end", ")") || (end !== undefined && stream.test(end))) break;
    items.push(parseItem());
    if (!stream.test(",")) break;
    isTuple = true;
    line = stream.current.line;
  }
  if (!isTuple) {
    if (items.length > 0) return items[0]!;
    if (!parenthesized) throw stream.error(`Expected an expression, got '${describeToken(stream.current)}'`);
  }
  return { kind: "Tuple", line, items };
}

/** `(a, b, name=c, *d, **e)`, in the order that Jinja2 allows. */
export function parseArguments(stream: TokenStream, parseValue: () => Expr): Arguments {
  const { line } = stream.expect("(");
  const args: Expr[] = [];
  const kwargs: { key: string; value: Expr }[] = [];
  let dynArgs: Expr | null = null;
  let dynKwargs: Expr | null = null;
  const ensure = (holds: boolean) => {
    if (!holds) throw stream.error("invalid syntax for function call expression", line);
  };
  parseSequence(stream, ")", () => {
    if (stream.skipIf("*")) {
      ensure(dynArgs === null && dynKwargs === null);
      dynArgs = parseValue();
    } else if (stream.skipIf("**")) {
      ensure(dynKwargs === null);
      dynKwargs = parseValue();
    } else if (stream.test("name") && stream.look().type === "=") {
      ensure(dynKwargs === null);
      const key = String(stream.next().value);
      stream.next();
      if (kwargs.some((given) => given.key === key)) {
        throw new TemplateSyntaxError(`keyword argument repeated: ${key}`, line);
      }
      kwargs.push({ key, value: parseValue() });
    } else {
      ensure(dynArgs === null && dynKwargs === null && kwargs.length === 0);
      args.push(parseValue());
    }
  });
  return { args, kwargs, dynArgs, dynKwargs };
}
