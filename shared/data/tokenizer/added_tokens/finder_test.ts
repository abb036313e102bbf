import { assertEquals } from "@std/assert";
import { type AddedToken, createAddedTokenFinder } from "./finder.ts";

const NONE = { special: false, single_word: false, lstrip: false, rstrip: false, normalized: false };
const finder = (...tokens: (Partial<AddedToken> & { content: string })[]) =>
  createAddedTokenFinder(tokens.map((token, id) => ({
    pattern: token.content,
    token: { ...NONE, decodesNormalized: false, id, ...token },
  })));
const parts = (text: string, ...tokens: Parameters<typeof finder>) =>
  finder(...tokens).split(text).map((part) => typeof part === "number" ? part : part.text);

Deno.test("single_word: a whole word, not a part of one", () => {
  const cat = { content: "cat", single_word: true };
  assertEquals(parts("concat a cat", cat), ["concat a ", 0]);
  assertEquals(parts("cat, cat_écat cat", cat), [0, ", cat_écat ", 0]);
  assertEquals(parts("𝒜cat cat𝟘 (cat)", cat), ["𝒜cat cat𝟘 (", 0, ")"]);
});

Deno.test("lstrip and rstrip take whitespace along, of every kind, but not what a different token took", () => {
  assertEquals(parts("a \u0085\u2028<m> b", { content: "<m>", lstrip: true }), ["a", 0, " b"]);
  assertEquals(parts("a <m>\u3000 b\ufeff", { content: "<m>", rstrip: true }), ["a ", 0, "b\ufeff"]);
  assertEquals(parts("<m>  <m>", { content: "<m>", lstrip: true, rstrip: true }), [0, 0]);
});

Deno.test("the longest of those that begin first", () => {
  assertEquals(parts("ababab", { content: "ab" }, { content: "abab" }), [1, 0]);
  assertEquals(parts("xabc", { content: "bc" }, { content: "ab" }), ["x", 1, "c"]);
});

Deno.test("what a longer one covers is not searched again when that is refused", () => {
  assertEquals(parts("abcx bc", { content: "abc", single_word: true }, { content: "bc" }), ["abcx ", 1]);
});
