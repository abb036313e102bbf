/** docs/features.md names a test and a document for every feature; each of them has to be there. */
import { assertEquals, assertGreater } from "@std/assert";
import { join } from "@std/path";
import { missingTests, namedTests, root } from "./named_tests.ts";

Deno.test("every feature of docs/features.md has its test and its document", async () => {
  const rows = namedTests(await Deno.readTextFile(join(root, "docs/features.md")));
  assertEquals(await missingTests(rows), []);
  assertGreater(rows.length, 15);
  for (const { what, rest } of rows) {
    const [, link] = /\]\(([\w./-]+)(#[\w-]+)?\)/.exec(rest) ?? [];
    assertEquals(
      await Deno.stat(join(root, "docs", link ?? "(none)")).then(() => true, () => false),
      true,
      what,
    );
  }
});
