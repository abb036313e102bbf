import { PyError, type Value } from "../../python/values/value.ts";
import { compileTemplate } from "./compile/template.ts";
import { descendants } from "./parse/nodes.ts";
import { parse } from "./parse/parser.ts";
import { Context } from "./runtime/frame.ts";

interface Rendering {
  readonly text: string;
  /** What generation blocks wrote: from and to, in UTF-16 units of `text`. */
  readonly generated: readonly (readonly [number, number])[];
}

export interface JinjaTemplate {
  readonly hasGenerationBlocks: boolean;
  /** Throws a `PyError` whenever Jinja2 raises, and an `UnsupportedError`. */
  render(variables: ReadonlyMap<string, Value>): Rendering;
}

/**
 * A template as Jinja2 compiles it in transformers' environment. Throws a `TemplateSyntaxError` or an
 * `UnsupportedError`.
 */
export function compileJinja(source: string, globals: ReadonlyMap<string, Value>): JinjaTemplate {
  const tree = parse(source);
  const run = compileTemplate(tree);
  return {
    hasGenerationBlocks: [...descendants(tree)].some(({ kind }) => kind === "Generation"),
    render(variables) {
      try {
        const { root, generated } = run(new Context(variables, globals));
        return { text: root.text, generated };
      } catch (error) {
        throw asPyError(error);
      }
    },
  };
}

/** JavaScript's RangeErrors: an overflow of the stack, or a text longer than it allows. */
function asPyError(error: unknown): unknown {
  if (!(error instanceof RangeError)) return error;
  const type = error.message.includes("stack") ? "RecursionError" : "MemoryError";
  return new PyError(type, error.message);
}
