import { assertEquals, assertThrows } from "@std/assert";
import { expandTemplate } from "./template.ts";

const expand = (source: string, constants = {}) => expandTemplate(source, constants).trim();

Deno.test("a loop repeats its lines, nested loops multiply, constants bound them", () => {
  const source = ["//! for i in 0..N", "//! for j in 1..3", "a$i += b${j}0;", "//! end", "//! end"].join(
    "\n",
  );
  assertEquals(expand(source, { N: 2 }), "a0 += b10;\na0 += b20;\na1 += b10;\na1 += b20;");
});

Deno.test("a condition keeps or drops its lines, loops included", () => {
  const source = ["//! if ON", "//! for i in 0..2", "x$i", "//! end", "//! end", "//! if !ON", "y", "//! end"]
    .join("\n");
  assertEquals(expand(source, { ON: true }), "x0\nx1");
  assertEquals(expand(source, { ON: 0 }), "y");
});

Deno.test("an empty loop leaves nothing, unknown names stay", () => {
  assertEquals(expand("//! for i in 0..0\nx\n//! end\n$other"), "$other");
});

Deno.test("a malformed directive is an error that names its line", () => {
  assertThrows(() => expand("a\n//! while x"), RangeError, "line 2");
  assertThrows(() => expand("//! for i in 0..N\n//! end"), RangeError, '"N" is not a constant');
  assertThrows(() => expand("//! if A\nx", { A: true }), RangeError, 'has no "end"');
  assertThrows(() => expand("x\n//! end"), RangeError, 'line 2: "end"');
});
