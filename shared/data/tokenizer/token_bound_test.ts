import { assert, assertEquals } from "@std/assert";
import { pcg32 } from "../../prng.ts";
import { goldenPath } from "../../../tests/golden/data_goldens.ts";
import { createTokenBound } from "./token_bound.ts";
import { loadTokenizer } from "./tokenizer.ts";

// deno-lint-ignore no-explicit-any
type Json = any;

const read = async (name: string): Promise<Json> =>
  JSON.parse(await Deno.readTextFile(`${goldenPath(name)}/tokenizer.json`));

/** Texts in which tokens are as long as they get, and others: runs, words of the vocabulary, marks that compose. */
function textsFor(vocabulary: readonly string[]): string[] {
  const prng = pcg32(7);
  const pieces = [
    ...vocabulary.filter((token) => !token.startsWith("<")).map((token) => token.replaceAll(/[Ġ▁]/g, " ")),
    ..."a b\n\t \u0085 \u3000 é e\u0301 한 한 𝐀 Å ﷺ 🏳️‍🌈 \u212a \u1fef ẞ İ".split(" "),
  ];
  return Array.from({ length: 400 }, () => {
    const piece = () => pieces[prng.below(pieces.length)]!;
    return prng.below(2) === 0
      ? piece().repeat(1 + prng.below(50))
      : Array.from({ length: 1 + prng.below(50) }, piece).join("");
  });
}

for (const name of ["data/byte_level", "data/byte_fallback"]) {
  Deno.test(`the bound is never above the number of tokens: ${name}`, async () => {
    const json = await read(name);
    const bound = createTokenBound(json);
    const tokenizer = await loadTokenizer(goldenPath(name));
    for (const text of textsFor(Object.keys(json.model.vocab))) {
      const count = tokenizer.encode(text, { addSpecialTokens: false }).length;
      assert(bound(text) <= count, `${JSON.stringify(text)}: ${count} tokens, bound ${bound(text)}`);
    }
    const megabytes = bound("a".repeat(3_000_000));
    assert(megabytes > 50_000, `3 MB of "a" have at least ${megabytes} tokens`);
  });
}

const A_MEGABYTE = "a".repeat(1_000_000);
const space = (json: Json) => createTokenBound(json)(" ".repeat(1_000_000));
const letters = (json: Json) => createTokenBound(json)(A_MEGABYTE);

Deno.test("what a pipeline may drop or shorten is taken off", async () => {
  const json = await read("data/byte_level");
  const plain = letters({ ...json, normalizer: null });
  assert(plain > 0);
  const compatible = letters({ ...json, normalizer: { type: "NFKC" } });
  assert(compatible <= plain / 4 + 1 && compatible > 0, `${compatible} of ${plain}`);
  const doubled = { type: "Replace", pattern: { String: "aa" }, content: "b" };
  assert(letters({ ...json, normalizer: doubled }) <= plain / 2 + 1);

  const added = (flags: Json) => ({
    ...json,
    added_tokens: [{ content: "<m>", id: 0, special: true, ...flags }],
  });
  assert(space(added({})) > 0);
  assertEquals([space(added({ rstrip: true })), space(added({ lstrip: true }))], [0, 0]);
  assertEquals(space({ ...json, normalizer: { type: "Strip" } }), 0);
  const steps = [{ type: "WhitespaceSplit" }, { type: "ByteLevel" }];
  assertEquals(space({ ...json, pre_tokenizer: { type: "Sequence", pretokenizers: steps } }), 0);

  const long = "x".repeat(500);
  assertEquals(letters(added({ content: long })), Math.ceil(1_000_000 / 500));
});

Deno.test("where a part of the pipeline is not known, or a text may become unknown tokens, nothing is certain", async () => {
  const json = await read("data/byte_level");
  const removing = { type: "Split", pattern: { String: "a" }, behavior: "Removed", invert: false };
  const { a: _, ...lacking } = json.model.vocab;
  const unbounded: Json[] = [
    null,
    { ...json, normalizer: { type: "Precompiled" } },
    { ...json, normalizer: { type: "Replace", pattern: { Regex: "a+" }, content: "a" } },
    { ...json, normalizer: { type: "Replace", pattern: { String: "a" }, content: "" } },
    { ...json, pre_tokenizer: { type: "Sequence", pretokenizers: [removing, { type: "ByteLevel" }] } },
    { ...json, pre_tokenizer: { type: "Sequence" } },
    { ...json, pre_tokenizer: null, normalizer: null },
    { ...json, model: { ...json.model, type: "WordPiece" } },
    { ...json, model: { ...json.model, type: "Unigram", vocab: [["a", -1]] } },
    { ...json, model: { ...json.model, vocab: lacking } },
  ];
  assertEquals(unbounded.map(letters), unbounded.map(() => 0));
});
