import { assert, assertEquals, assertThrows } from "@std/assert";
import { GGUF_TOKENIZERS } from "../../../tests/golden/exports/gguf_families.ts";
import { goldenPath } from "../../../tests/golden/golden.ts";
import { parseTokenizerJson, readTokenizerJson } from "../../data/tokenizer/files/tokenizer_files.ts";
import { LoraFleetError } from "../../errors.ts";
import { preTokenizerName } from "./pre_tokenizer.ts";
import { tokenizerMetadata } from "./tokenizer_metadata.ts";

/** The values by their keys. */
async function metadataOf(name: string, vocabSize: number): Promise<Record<string, unknown>> {
  const metadata = await tokenizerMetadata(goldenPath(`data/${name}`), vocabSize);
  return Object.fromEntries(metadata.map(([key, { value }]) => [key.replace("tokenizer.ggml.", ""), value]));
}

async function vocabularyOf(name: string): Promise<Record<string, number>> {
  return (await readTokenizerJson(goldenPath(`data/${name}`))).model["vocab"] as Record<string, number>;
}

Deno.test("SentencePiece's BPE: bytes, control tokens, and scores that fall with the merges", async () => {
  const vocabulary = await vocabularyOf("byte_fallback");
  const size = Object.keys(vocabulary).length + 3;
  const found = await metadataOf("byte_fallback", size);
  assertEquals([found["model"], (found["tokens"] as string[]).length], ["llama", size]);
  const [tokens, types, scores] = [
    found["tokens"] as string[],
    found["token_type"] as number[],
    found["scores"] as number[],
  ];
  assertEquals(types[tokens.indexOf("<0x0A>")], 6);
  assertEquals(types[found["bos_token_id"] as number], 3);
  const json = await readTokenizerJson(goldenPath("data/byte_fallback"));
  const merges = (json.model["merges"] as (string | [string, string])[]).map((merge) => (
    typeof merge === "string" ? merge.replace(" ", "") : merge.join("")
  ));
  const made = [...new Set(merges)].map((token) => vocabulary[token]!).filter((id) => types[id] === 1);
  const ranked = made.map((id) => scores[id]!);
  assert(ranked.every((score, i) => i === 0 || score < ranked[i - 1]!), "scores fall");
});

/** What llama.cpp's script reads from the SentencePiece model, and we from the tokenizer.json that was made of it. */
for (const [name, golden] of Object.entries(GGUF_TOKENIZERS)) {
  Deno.test(`the tokens of ${name}'s SentencePiece model are those that llama.cpp's script reads`, async () => {
    const metadata = await tokenizerMetadata(goldenPath(`exports/tokenizer_${name}`), 420);
    const found = Object.fromEntries(metadata.map(([key, { value }]) => [key, value]));
    const unknown = found["tokenizer.ggml.unknown_token_id"] as number;
    const [types, scores] = ["token_type", "scores"].map((key) => found[`tokenizer.ggml.${key}`] as number[]);
    // The script calls the token for what is unknown a control token where a file declares it.
    const expected = (golden["tokenizer.ggml.token_type"] as number[]).with(unknown, 2);
    assertEquals(types, expected);
    const normal = types!.flatMap((type, id) => type === 1 ? [id] : []);
    const ranked = (of: readonly number[]) => normal.toSorted((a, b) => of[b]! - of[a]!);
    assertEquals(ranked(scores!), ranked(golden["tokenizer.ggml.scores"] as number[]));
    const other = Object.keys(golden).filter((key) => !OWN_OR_ABSENT.test(key));
    assert(other.includes("tokenizer.ggml.tokens") && other.includes("tokenizer.ggml.bos_token_id"));
    for (const key of other) assertEquals([key, found[key]], [key, golden[key]]);
  });
}
/** Compared above; a separator is BERT's; the script takes a padding token from config.json too. */
const OWN_OR_ABSENT = /\.(token_type|scores|add_sep_token|padding_token_id)$/;

Deno.test("byte-level BPE: tokens, merges, the words' rule, and rows without a token", async () => {
  const vocabulary = await vocabularyOf("byte_level");
  const size = Object.keys(vocabulary).length + 40;
  const found = await metadataOf("byte_level", size);
  assertEquals(found["model"], "gpt2");
  const tokens = found["tokens"] as string[];
  for (const [token, id] of Object.entries(vocabulary)) assertEquals(tokens[id], token);
  assertEquals([tokens.at(-1), (found["token_type"] as number[]).at(-1)], [`[PAD${size - 1}]`, 5]);
  assert((found["merges"] as string[]).every((merge) => merge.split(" ").length === 2));
});

const SPLIT = (regex: string) => ({
  type: "Sequence",
  pretokenizers: [
    { type: "Split", pattern: { Regex: regex }, behavior: "Isolated", invert: false },
    { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false },
  ],
});
const WORDS = String
  .raw`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|DIGITS| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`;

const WORDS_OF_THREE_DIGITS = SPLIT(WORDS.replace("DIGITS", String.raw`\p{N}{1,3}`));
const CASED = String
  .raw`[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`;

const RULES: readonly (readonly [name: string, preTokenizer: unknown, ignoresMerges?: boolean])[] = [
  ["llama-bpe", WORDS_OF_THREE_DIGITS, true],
  ["dbrx", WORDS_OF_THREE_DIGITS],
  ["gpt-4o", SPLIT(CASED)],
  ["qwen2", SPLIT(WORDS.replace("DIGITS", String.raw`\p{N}`))],
  ["gpt-2", { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true }],
  ["smollm", {
    type: "Sequence",
    pretokenizers: [
      { type: "Digits", individual_digits: true },
      { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true },
    ],
  }],
];

for (const [name, pre_tokenizer, ignore_merges = false] of RULES) {
  Deno.test(`llama.cpp's name of the rule for words: ${name}`, () => {
    const model = { type: "BPE", ignore_merges };
    assertEquals(preTokenizerName(parseTokenizerJson({ model, pre_tokenizer })), name);
  });
}

Deno.test("a rule that llama.cpp does not have is refused", () => {
  const json = parseTokenizerJson({ model: { type: "BPE" }, pre_tokenizer: SPLIT("[a-z]+") });
  const error = assertThrows(() => preTokenizerName(json), LoraFleetError, "no name for its pre-tokenizer");
  assertEquals(error.code, "invalid_request");
});
