import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { createBpe } from "./bpe.ts";
import { createWordSplitter } from "./word_splitter.ts";

const MERGES: [string, string][] = [["a", "b"], ["▁", "a"], ["▁a", "b"], ["c", "c"], ["ab", "c"], [
  "😀",
  "é",
]];
const VOCABULARY = Object.fromEntries(
  ["a", "b", "c", "▁", "😀", "é", ...MERGES.map((merge) => merge.join(""))].map((token, id) => [token, id]),
);

Deno.test("cuts where no merge reaches over, and nowhere else", () => {
  const split = createWordSplitter(MERGES)!;
  assertEquals(split("▁ab▁ab😀éca"), ["▁ab", "▁ab", "😀é", "c", "a"]);
  assertEquals(split("bc"), ["bc"]);
  assertEquals(createWordSplitter([["<0x41>", "a"]]), null);
});

Deno.test("a long text has the ids of one that is not cut", () => {
  const model = createBpe({ type: "BPE", vocab: VOCABULARY, merges: MERGES });
  // The suffix stands in no text, but keeps the model from cutting.
  const whole = createBpe({ type: "BPE", vocab: VOCABULARY, merges: MERGES, ignore_merges: true });
  const mode = { never: null, isByteLevel: false };
  const texts = fc.array(fc.constantFrom("a", "b", "c", "▁", "😀", "é"), { minLength: 30, maxLength: 90 });
  fc.assert(fc.property(texts, (parts) => {
    const [cut, uncut]: [number[], number[]] = [[], []];
    model.encode(parts.join(""), mode, cut);
    whole.encode(parts.join(""), mode, uncut);
    assertEquals(cut, uncut);
  }));
});
