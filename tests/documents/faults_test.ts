/** docs/faults.md names the tests that keep faults away; each of them has to be there. */
import { assertEquals, assertGreater } from "@std/assert";
import { join } from "@std/path";
import { missingTests, namedTests, root } from "./named_tests.ts";

Deno.test("every fault of docs/faults.md has the test that it names", async () => {
  const rows = namedTests(await Deno.readTextFile(join(root, "docs/faults.md")));
  assertEquals(await missingTests(rows), []);
  assertGreater(rows.length, 80);
});
