import { assert, assertEquals, assertThrows } from "@std/assert";
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

const RULES: readonly (readonly [name: string, preTokenizer: unknown])[] = [
  ["llama-bpe", SPLIT(WORDS.replace("DIGITS", String.raw`\p{N}{1,3}`))],
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

for (const [name, pre_tokenizer] of RULES) {
  Deno.test(`llama.cpp's name of the rule for words: ${name}`, () => {
    assertEquals(preTokenizerName(parseTokenizerJson({ model: { type: "BPE" }, pre_tokenizer })), name);
  });
}

Deno.test("a rule that llama.cpp does not have is refused", () => {
  const json = parseTokenizerJson({ model: { type: "BPE" }, pre_tokenizer: SPLIT("[a-z]+") });
  const error = assertThrows(() => preTokenizerName(json), LoraFleetError, "no name for its pre-tokenizer");
  assertEquals(error.code, "invalid_request");
});
