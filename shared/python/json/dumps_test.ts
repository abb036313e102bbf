import { assertEquals, assertThrows } from "@std/assert";
import { dumps } from "./dumps.ts";
import { parseJson } from "./parse_json.ts";
import { pythonGoldens } from "./python_goldens.ts";
import { repr, str } from "../values/repr.ts";
import { PyError, tuple, type Value } from "../values/value.ts";

Deno.test("dumps writes what json.dumps writes", () => {
  for (const golden of pythonGoldens.read) {
    const value = parseJson(golden.text);
    assertEquals(dumps(value), golden.json);
    assertEquals(dumps(value, { ensureAscii: true }), golden.ascii);
    assertEquals(dumps(value, { indent: 2, sortKeys: true }), golden.indented);
    assertEquals(dumps(value, { indent: "\t", separators: [" ,", "="] }), golden.tabbed);
    assertEquals(dumps(value, { separators: [",", ":"] }), golden.compact);
  }
});

Deno.test("repr prints what Python prints", () => {
  for (const golden of pythonGoldens.read) assertEquals(repr(parseJson(golden.text)), golden.repr);
});

Deno.test("keys that are no texts, tuples", () => {
  const value = new Map<Value, Value>([[1n, tuple([1n])], [null, tuple([])], [true, tuple(["a", 2.0])], [
    1.5,
    null,
  ]]);
  assertEquals(repr(value), "{1: (1,), None: (), True: ('a', 2.0), 1.5: None}");
  assertEquals(dumps(value), '{"1": [1], "null": [], "true": ["a", 2.0], "1.5": null}');
  assertThrows(() => dumps(value, { sortKeys: true }), PyError, "'<' not supported between instances of");
  assertThrows(
    () => dumps(new Map([[tuple([1n]), 1n]])),
    PyError,
    "keys must be str, int, float, bool or None",
  );
});

Deno.test("str of a text is the text", () => {
  assertEquals([str("it's"), str(null), str(["it's"])], ["it's", "None", `["it's"]`]);
});
