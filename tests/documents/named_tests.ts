/** Tests that a document's table names, and whether they are there. */
import { dirname, fromFileUrl, join } from "@std/path";

export const root = dirname(dirname(dirname(fromFileUrl(import.meta.url))));

const HAS_TESTS = /\b(Deno\.test\(|inWorld\(|t\.step\(|contract\(|test[A-Z]\w*\(|Clauses\b)/;

/** One row of a table: what is tested, the file, part of the test's name or nothing, further cells. */
export interface NamedTest {
  readonly what: string;
  readonly file: string;
  readonly test: string;
  readonly rest: string;
}

export function namedTests(document: string): NamedTest[] {
  return [...document.matchAll(/^\| (.+?) +\| `(.+?)` +\| (.*?) *\|(.*)$/gm)].map(
    ([, what, file, test, rest]) => ({ what: what!, file: file!, test: test!, rest: rest! }),
  );
}

/** Rows whose test does not exist. */
export async function missingTests(rows: readonly NamedTest[]): Promise<string[]> {
  const found = await Promise.all(rows.map(async ({ what, file, test }) => {
    const text = await Deno.readTextFile(join(root, file)).catch(() => null);
    return text !== null && HAS_TESTS.test(text) && text.includes(test) ? [] : [`${what}: ${file}: ${test}`];
  }));
  return found.flat();
}
