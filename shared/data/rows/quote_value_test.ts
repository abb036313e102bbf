import { assertEquals } from "@std/assert";
import { parseJson } from "../../python/json/parse_json.ts";
import { quoteValue } from "./quote_value.ts";

for (
  const json of ['{"a": 9007199254740993, "10": 1.0}', "1e-07", '["x", null, true]', '"\\ud83d"', "null"]
) {
  Deno.test(`an error quotes ${json} as the file has it`, () => {
    assertEquals(quoteValue(parseJson(json)), json);
  });
}

Deno.test("a long value is cut", () => {
  assertEquals(quoteValue("x".repeat(1000)), `"${"x".repeat(76)}...`);
});
