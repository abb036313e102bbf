import { assertEquals, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import { join } from "@std/path";
import { z } from "zod";
import { goldenPath, readGolden } from "../../../tests/golden/data_goldens.ts";
import { LoraFleetError } from "../../errors.ts";
import { boundTo, loadTokenizer } from "./tokenizer.ts";

const ids = z.array(z.number());
const golden = await readGolden(
  "data/tokenizer.json",
  z.record(
    z.string(),
    z.object({
      vocab_size: z.number(),
      bos: z.number().nullable(),
      eos: z.number().nullable(),
      pad: z.number().nullable(),
      cases: z.array(z.object({
        text: z.string(),
        parsed: ids,
        parsed_bare: ids,
        split: ids,
        decoded: z.string(),
        decoded_plain: z.string(),
      })),
    }),
  ),
);

for (const [folder, { cases, vocab_size, bos, eos, pad }] of Object.entries(golden)) {
  Deno.test(`${folder}: ids and texts are those of transformers`, async () => {
    const tokenizer = await loadTokenizer(goldenPath(`data/${folder}`));
    assertEquals(
      [tokenizer.vocabSize, tokenizer.bosTokenId, tokenizer.eosTokenIds[0], tokenizer.padTokenId],
      [vocab_size, bos, eos!, pad],
    );
    for (const { text, parsed, parsed_bare, decoded, decoded_plain } of cases) {
      const options = { splitSpecialTokens: false };
      assertEquals(tokenizer.encode(text, options), parsed, text);
      assertEquals(tokenizer.encode(text, { ...options, addSpecialTokens: false }), parsed_bare, text);
      assertEquals(tokenizer.decode(parsed), decoded, text);
      assertEquals(tokenizer.decode(parsed, { skipSpecialTokens: true }), decoded_plain, text);
    }
  });

  Deno.test(`${folder}: special tokens' strings in a text are text, and no other id changes`, async () => {
    const tokenizer = await loadTokenizer(goldenPath(`data/${folder}`));
    const specialIds = new Set(
      (JSON.parse(await Deno.readTextFile(join(goldenPath(`data/${folder}`), "tokenizer.json")))
        .added_tokens as unknown[])
        .map((token) => z.object({ id: z.number(), special: z.boolean(), content: z.string() }).parse(token))
        .filter(({ special, content }) => special && content !== "<unk>").map(({ id }) => id),
    );
    let hidden = 0;
    for (const { text, split } of cases) {
      const encoded = tokenizer.encode(text);
      const bare = tokenizer.encode(text, { addSpecialTokens: false });
      assertEquals(bare.filter((id) => specialIds.has(id)), [], text);
      // transformers' split_special_tokens still merges characters into a special token where the model can.
      if (split.slice(1).every((id) => !specialIds.has(id))) assertEquals(encoded, split, text);
      if (tokenizer.specialText.includes(text)) hidden++;
      assertEquals(
        tokenizer.decode(bare).trim(),
        tokenizer.decode(tokenizer.encode(tokenizer.decode(bare).trim(), { addSpecialTokens: false })).trim(),
      );
    }
    assertEquals(hidden >= 5, true, `only ${hidden} texts contained special tokens`);
  });
}

const folders: string[] = [];
Deno.test.afterAll(async () => {
  for (const folder of folders) await Deno.remove(folder, { recursive: true });
});

/** A copy of a golden tokenizer with some files changed; null deletes. */
async function changedFolder(changes: Record<string, unknown>): Promise<string> {
  const folder = await Deno.makeTempDir();
  folders.push(folder);
  for (const name of ["tokenizer.json", "tokenizer_config.json"]) {
    await Deno.copyFile(join(goldenPath("data/byte_level"), name), join(folder, name));
  }
  for (const [name, content] of Object.entries(changes)) {
    if (content === null) await Deno.remove(join(folder, name));
    else {await Deno.writeTextFile(
        join(folder, name),
        typeof content === "string" ? content : JSON.stringify(content),
      );}
  }
  return folder;
}

Deno.test("stop ids: the tokenizer's own first, then the generation config's, which overrules config.json", async () => {
  const folder = await changedFolder({ "config.json": { eos_token_id: 7 } });
  const eos = golden["byte_level"]!.eos!;
  assertEquals((await loadTokenizer(folder)).eosTokenIds, [eos, 7]);
  await Deno.writeTextFile(
    join(folder, "generation_config.json"),
    JSON.stringify({ eos_token_id: [9, eos] }),
  );
  assertEquals((await loadTokenizer(folder)).eosTokenIds, [eos, 9]);
});

Deno.test("special_tokens_map.json stands in for the config, chat_template.jinja overrules it", async () => {
  const folder = await changedFolder({
    "tokenizer_config.json": {
      chat_template: [{ name: "tool_use", template: "T" }, { name: "default", template: "D" }],
    },
    "special_tokens_map.json": { eos_token: { content: "</s>", lstrip: false }, bos_token: "<s>" },
  });
  const { chatTemplate, specialTokens } = await loadTokenizer(folder);
  assertEquals(chatTemplate, new Map([["tool_use", "T"], ["default", "D"]]));
  assertEquals([specialTokens.eos, specialTokens.bos], ["</s>", "<s>"]);
  await Deno.writeTextFile(join(folder, "chat_template.jinja"), "J");
  assertEquals((await loadTokenizer(folder)).chatTemplate, "J");
});

Deno.test("a named special token is special even where it is an ordinary entry of the vocabulary", async () => {
  const folder = await changedFolder({
    "tokenizer.json": {
      ...UNIGRAM,
      added_tokens: [],
      model: { type: "BPE", vocab: { a: 0, "<": 1, "/": 2, s: 3, ">": 4, "</s>": 5 }, merges: [] },
    },
  });
  const { encode } = await loadTokenizer(folder);
  assertEquals(encode("a</s>", { splitSpecialTokens: false }), [0, 5]);
  assertEquals(encode("a</s>"), [0, 1, 2, 3, 4]);
});

Deno.test("a token beyond the base model's vocabulary is refused where a text uses it, and only there", async () => {
  const folder = await changedFolder({ "added_tokens.json": { "[PAD]": 427 } });
  const free = await loadTokenizer(folder);
  assertEquals(free.encode("a[PAD]", { splitSpecialTokens: false, addSpecialTokens: false }).at(-1), 427);
  const bound = boundTo(free, 427);
  assertEquals([bound.vocabSize, bound.encode("plain text")], [428, free.encode("plain text")]);
  const error = assertThrows(
    () => bound.encode("a[PAD]", { splitSpecialTokens: false }),
    LoraFleetError,
    'the token "[PAD]" has the id 427, but the base model\'s vocab_size is 427',
  );
  assertEquals(error.code, "invalid_dataset");
  bound.assertFits([0, 426]);
  assertThrows(() => bound.assertFits([0, 427]), LoraFleetError, "427");
});

Deno.test("a stop token that stands only in added_tokens_decoder is one token with the next free id", async () => {
  const end = { content: "<|stop|>", special: true };
  const folder = await changedFolder({
    "tokenizer_config.json": { eos_token: "<|stop|>", added_tokens_decoder: { "427": end } },
  });
  const tokenizer = await loadTokenizer(folder);
  const ids = tokenizer.encode("a<|stop|>", { splitSpecialTokens: false });
  assertEquals([ids.at(-1), tokenizer.eosTokenIds[0], tokenizer.decode([427])], [427, 427, "<|stop|>"]);
  assertEquals(tokenizer.encode("a<|stop|>").includes(427), false);
  assertEquals(tokenizer.decode(ids, { skipSpecialTokens: true }), "a");
});

Deno.test("a damaged part of tokenizer.json is refused by its field", async () => {
  const refused = async (tokenizer: object, message: string) => {
    const folder = await changedFolder({ "tokenizer.json": { ...UNIGRAM, ...tokenizer } });
    const error = await assertRejects(() => loadTokenizer(folder), LoraFleetError, message);
    assertEquals([error.code, error.param], ["invalid_model", "tokenizer.json"]);
  };
  await refused({ normalizer: { type: "Replace", content: "" } }, "normalizer.pattern");
  await refused({ pre_tokenizer: { type: "Digits" } }, "pre_tokenizer.individual_digits");
  await refused({ decoder: { type: "Odd" } }, 'the decoder "Odd"');
  await refused({ model: { type: "BPE", vocab: { a: 0 }, merges: ["a b"] } }, 'model.merges[0] is "a b"');
  await refused(
    { model: { type: "BPE", vocab: { a: 0 }, merges: [], dropout: 0.1 } },
    "model.dropout is 0.1",
  );
  await refused({ model: { type: "BPE", vocab: { a: "0" }, merges: [] } }, "model.vocab");
});

Deno.test("half of a surrogate pair is refused, as Python refuses it", async () => {
  const { encode } = await loadTokenizer(goldenPath("data/byte_level"));
  assertThrows(() => encode("a\ud83d b"), LoraFleetError, "surrogate");
  assertThrows(() => encode("a\udc4d"), LoraFleetError, "surrogate");
});

Deno.test("ids that no token has decode to nothing", async () => {
  const { decode, encode, vocabSize } = await loadTokenizer(goldenPath("data/byte_level"));
  assertEquals(decode([vocabSize + 5]), "");
  assertEquals(decode([]), "");
  assertEquals(decode([...encode("ab", { addSpecialTokens: false }), vocabSize]), "ab");
});

const BROKEN: readonly [string, Record<string, unknown>, string, string][] = [
  ["no tokenizer.json", { "tokenizer.json": null }, "tokenizer.json", "has no tokenizer.json"],
  ["not JSON", { "tokenizer.json": "{" }, "tokenizer.json", "tokenizer.json is not JSON"],
  ["no model", { "tokenizer.json": { added_tokens: [] } }, "tokenizer.json", "model"],
  ["a list", { "tokenizer.json": [] }, "tokenizer.json", "tokenizer.json"],
  [
    "a model of an unknown kind",
    {
      "tokenizer.json": {
        model: { type: "Odd" },
        normalizer: null,
        pre_tokenizer: null,
        post_processor: null,
        decoder: null,
      },
    },
    "tokenizer.json",
    "Odd",
  ],
  [
    "a config of a different shape",
    { "tokenizer_config.json": { eos_token: 5 } },
    "tokenizer_config.json",
    "eos_token",
  ],
  [
    "ids as text",
    { "generation_config.json": { eos_token_id: "2" } },
    "generation_config.json",
    "eos_token_id",
  ],
];

for (const [name, changes, param, words] of BROKEN) {
  Deno.test(`refused: ${name}`, async () => {
    const folder = await changedFolder(changes);
    const error = await assertRejects(() => loadTokenizer(folder), LoraFleetError);
    assertEquals([error.code, error.param], ["invalid_model", param]);
    assertStringIncludes(error.message, words);
  });
}

/** A Unigram model has its special tokens among its pieces. */
const UNIGRAM = {
  added_tokens: [{
    id: 1,
    content: "</s>",
    special: true,
    normalized: false,
    single_word: false,
    lstrip: false,
    rstrip: false,
  }],
  normalizer: null,
  pre_tokenizer: null,
  post_processor: null,
  decoder: null,
  model: {
    type: "Unigram",
    unk_id: 0,
    vocab: [["<unk>", 0], ["</s>", 0], ["<", -5], ["/", -5], ["s", -5], [">", -5], ["a", -5]],
  },
};

Deno.test("a Unigram model that finds a special token in plain text is no way around the rule", async () => {
  const folder = await changedFolder({ "tokenizer.json": UNIGRAM });
  const { encode } = await loadTokenizer(folder);
  assertEquals(encode("as/"), [6, 4, 3]);
  assertEquals(encode("a</s>", { splitSpecialTokens: false }), [6, 1]);
  const error = assertThrows(() => encode("a</s>"), LoraFleetError, '"</s>"');
  assertEquals(error.code, "invalid_dataset");
});
