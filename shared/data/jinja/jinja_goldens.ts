/** What Jinja2 makes of templates of ours; made by tests/differential/make_template_goldens.py. */
import { parseJson } from "../../python/json/parse_json.ts";
import { PyError, UnsupportedError, type Value } from "../../python/values/value.ts";
import { TemplateSyntaxError } from "./parse/errors.ts";
import { createGlobals } from "./globals.ts";
import { compileJinja } from "./template.ts";

interface JinjaGoldens {
  /** The templates' variables as JSON. */
  readonly values: string;
  /** A template, and its text or null if Jinja2 refuses it. */
  readonly cases: readonly (readonly [source: string, text: string | null])[];
}

export async function readGoldens(path: string | URL): Promise<JinjaGoldens> {
  const { body } = new Response(await Deno.readFile(path));
  return await new Response(body!.pipeThrough(new DecompressionStream("gzip"))).json();
}

interface Difference {
  readonly source: string;
  readonly theirs: string | null;
  readonly ours: string;
}

/** The date that the goldens were made on. */
const GLOBALS = createGlobals(new Date(Date.UTC(2024, 6, 26)));

/** Throws what is no refusal. */
export function compareGoldens({ values, cases }: JinjaGoldens): Difference[] {
  const variables = parseJson(values) as ReadonlyMap<string, Value>;
  return cases.flatMap(([source, theirs]) => {
    const ours = renderOrRefuse(source, variables);
    if (ours instanceof Error) {
      return theirs === null ? [] : [{ source, theirs, ours: `${ours.name}: ${ours.message}` }];
    }
    return ours === theirs ? [] : [{ source, theirs, ours: JSON.stringify(ours) }];
  });
}

function renderOrRefuse(source: string, variables: ReadonlyMap<string, Value>): string | Error {
  try {
    return compileJinja(source, GLOBALS).render(variables).text;
  } catch (error) {
    const isRefusal = error instanceof PyError || error instanceof UnsupportedError ||
      error instanceof TemplateSyntaxError;
    if (isRefusal) return error;
    throw new Error(`defect in ${JSON.stringify(source)}`, { cause: error });
  }
}
