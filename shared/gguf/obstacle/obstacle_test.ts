import { assertEquals, assertMatch } from "@std/assert";
import { goldenPath } from "../../../tests/golden/golden.ts";
import { gemma2, llama2 } from "../../model/config_fixture.ts";
import { ggufObstacle } from "./obstacle.ts";

async function obstacleOf(config: object, tokenizer: string, needsTokenizer = true): Promise<string | null> {
  const folder = await Deno.makeTempDir({ prefix: "lorafleet-gguf-" });
  try {
    await Deno.writeTextFile(`${folder}/config.json`, JSON.stringify(config));
    await Deno.writeTextFile(`${folder}/tokenizer.json`, tokenizer);
    return await ggufObstacle(folder, needsTokenizer);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const tokenizerOf = (name: string) => Deno.readTextFileSync(goldenPath(`${name}/tokenizer.json`));
const RULE = { type: "Split", pattern: { Regex: "[a-z]+" }, behavior: "Isolated" };

Deno.test("what is in the way of GGUF is known by config.json and the tokenizer's rules alone", async () => {
  assertEquals(await obstacleOf(gemma2, tokenizerOf("exports/tokenizer_gemma")), null);
  assertEquals(await obstacleOf(llama2, tokenizerOf("data/byte_level")), null);
  assertMatch(
    await obstacleOf({ ...gemma2, query_pre_attn_scalar: 7 }, tokenizerOf("exports/tokenizer_gemma")) ?? "",
    /^GGUF is not possible for this model: its query_pre_attn_scalar is 7/,
  );
  const unigram = JSON.stringify({ pre_tokenizer: null, model: { type: "Unigram", vocab: [["a", 0]] } });
  assertMatch(await obstacleOf(llama2, unigram) ?? "", /its tokenizer is "Unigram"/);
});

Deno.test("a vocabulary at the front of tokenizer.json, or none, changes nothing", async () => {
  const parts = { model: { type: "BPE", vocab: { a: 0 }, merges: [] }, pre_tokenizer: RULE };
  assertMatch(await obstacleOf(llama2, JSON.stringify(parts)) ?? "", /no name for its pre-tokenizer/);
  const turned = { pre_tokenizer: RULE, model: { merges: [], type: "BPE" } };
  assertMatch(await obstacleOf(llama2, JSON.stringify(turned)) ?? "", /no name for its pre-tokenizer/);
  // The type behind the vocabulary is read as well.
  const late = { pre_tokenizer: null, model: { vocab: [], type: "Unigram" } };
  assertMatch(await obstacleOf(llama2, JSON.stringify(late)) ?? "", /its tokenizer is "Unigram"/);
});

Deno.test("an adapter's GGUF needs no tokenizer, and a damaged model is the training's matter", async () => {
  assertEquals(await obstacleOf(llama2, "no JSON", false), null);
  assertEquals(await obstacleOf(llama2, "no JSON"), null);
  assertEquals(await obstacleOf({ model_type: "olmo" }, "{}"), null);
});
