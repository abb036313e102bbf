import { assert, assertEquals, assertThrows } from "@std/assert";
import { JsonSyntaxError } from "./json_cursor.ts";
import { parseJson } from "./parse_json.ts";
import { pythonGoldens } from "./python_goldens.ts";

Deno.test("integers keep all digits, whole floats stay floats", () => {
  assertEquals(parseJson("[9007199254740993, 1.0, -0, 1e400]"), [9007199254740993n, 1, 0n, Infinity]);
});

Deno.test("keys keep the file's order; one that comes twice keeps its first place and its last value", () => {
  const fields = parseJson('{"10": 1, "9": 2, "a": 3, "10": 4, "__proto__": 5}');
  assert(fields instanceof Map);
  assertEquals([...fields], [["10", 4n], ["9", 2n], ["a", 3n], ["__proto__", 5n]]);
});

Deno.test("what Python refuses is refused", () => {
  for (const text of pythonGoldens.broken) assertThrows(() => parseJson(text), JsonSyntaxError);
});

Deno.test("an error names the place and what is needed there", () => {
  for (
    const [text, offset, words] of [
      ['{"a": 1,}', 8, `found "}" at character 9; expected a key in double quotes`],
      ['{"a" 1}', 5, `expected ":" after the key "a"`],
      ["[1 2]", 3, `expected "," or "]"`],
      [
        '["abc',
        5,
        "the text ends at character 6; expected the closing quote of the text that begins at character 2",
      ],
      ['"a\nb"', 2, `expected an escape: a control character inside a text is written \\u000a`],
      ["True", 0, "expected a value"],
    ] as const
  ) {
    const error = assertThrows(() => parseJson(text), JsonSyntaxError, words);
    assertEquals(error.offset, offset);
  }
});

Deno.test("a long row is read whole, a deep one is refused instead of overflowing the stack", () => {
  const long = JSON.stringify({ items: Array.from({ length: 200_000 }, (_, i) => ({ i, text: "x\n" })) });
  const value = parseJson(long);
  assert(value instanceof Map);
  assertEquals((value.get("items") as unknown[]).length, 200_000);
  assertThrows(() => parseJson("[".repeat(5_000_000)), JsonSyntaxError, "deeper");
  parseJson("[".repeat(900) + "]".repeat(900));
});
