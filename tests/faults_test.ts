/** docs/faults.md names the tests that keep faults away; each of them has to be there. */
import { assertEquals, assertGreater } from "@std/assert";
import { dirname, fromFileUrl, join } from "@std/path";

const root = dirname(dirname(fromFileUrl(import.meta.url)));

Deno.test("every fault of docs/faults.md has the test that it names", async () => {
  const table = await Deno.readTextFile(join(root, "docs/faults.md"));
  const rows = [...table.matchAll(/^\| (.+?) +\| `(.+?)` +\| (.*?) *\|$/gm)];
  const missing: string[] = [];
  for (const [, fault, file, test] of rows) {
    const text = await Deno.readTextFile(join(root, file!)).catch(() => null);
    if (
      text === null ||
      !/\b(Deno\.test\(|inWorld\(|t\.step\(|contract\(|test[A-Z]\w*\(|Clauses\b)/.test(text) ||
      !text.includes(test!)
    ) {
      missing.push(`${fault}: ${file}: ${test}`);
    }
  }
  assertEquals(missing, []);
  assertGreater(rows.length, 80);
});
