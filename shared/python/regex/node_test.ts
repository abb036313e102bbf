import { assertEquals } from "@std/assert";
import { widthOf } from "./node.ts";
import { parseRegex } from "./parse.ts";

const WIDTHS: Readonly<Record<string, number | null>> = {
  "abc": 3,
  "a|b": 1,
  "a|bc": null,
  "(?:ab){2}": 4,
  "a{1,2}": null,
  "^a(?=b)$": 1,
  "[a-c]\\d.": 3,
};

Deno.test("a pattern has a width if every match takes the same number of characters", () => {
  for (const [pattern, width] of Object.entries(WIDTHS)) {
    assertEquals(widthOf(parseRegex(pattern)), width, pattern);
  }
});
