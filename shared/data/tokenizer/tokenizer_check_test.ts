import { assertEquals, assertRejects } from "@std/assert";
import { goldenPath } from "../../../tests/golden/data_goldens.ts";
import { LoraFleetError } from "../../errors.ts";
import { checkTokenizer } from "./tokenizer_check.ts";

const GOLDEN = goldenPath("data/byte_level");

/** A copy of the golden tokenizer with other files; null takes one away. */
async function withFiles(
  files: Readonly<Record<string, string | null>>,
  body: (folder: string) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    for await (const { name } of Deno.readDir(GOLDEN)) {
      await Deno.copyFile(`${GOLDEN}/${name}`, `${folder}/${name}`);
    }
    for (const [name, text] of Object.entries(files)) {
      if (text === null) await Deno.remove(`${folder}/${name}`);
      else await Deno.writeTextFile(`${folder}/${name}`, text);
    }
    await body(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("a tokenizer that can be read passes", () => withFiles({}, checkTokenizer));

const tokenizer: object = JSON.parse(await Deno.readTextFile(`${GOLDEN}/tokenizer.json`));
const other = (changes: object) => JSON.stringify({ ...tokenizer, ...changes });
const unreadable: Readonly<Record<string, [file: string, text: string | null, words: string]>> = {
  "no tokenizer.json": ["tokenizer.json", null, "has no tokenizer.json"],
  "a tokenizer.json that is not JSON": ["tokenizer.json", "{", "tokenizer.json is not JSON"],
  "an unknown normalizer": ["tokenizer.json", other({ normalizer: { type: "Odd" } }), 'the normalizer "Odd"'],
  "an unknown decoder": ["tokenizer.json", other({ decoder: { type: "Odd" } }), 'the decoder "Odd"'],
  "an unknown model": ["tokenizer.json", other({ model: { type: "Odd" } }), 'the model "Odd"'],
  "a config that is not JSON": ["tokenizer_config.json", "nope", "tokenizer_config.json is not JSON"],
  "a chat template of a different shape": ["tokenizer_config.json", `{"chat_template": 5}`, "chat_template"],
  "added tokens of a different shape": ["added_tokens.json", `{"<x>": "1"}`, "added_tokens.json"],
};
for (const [name, [file, text, words]] of Object.entries(unreadable)) {
  Deno.test(`refused before there is any text: ${name}`, () =>
    withFiles({ [file]: text }, async (folder) => {
      const error = await assertRejects(() => checkTokenizer(folder), LoraFleetError, words);
      assertEquals([error.code, error.param], ["invalid_model", file]);
    }));
}

Deno.test("a vocabulary of any size keeps neither what is wrong beside it nor a cut file from being seen", async () => {
  const vocab = Object.fromEntries(Array.from({ length: 300_000 }, (_, id) => [`token {" ${id}`, id]));
  const large = (changes: object) => other({ model: { type: "BPE", vocab, merges: [] }, ...changes });
  await withFiles({ "tokenizer.json": large({}) }, checkTokenizer);
  const odd = large({ decoder: { type: "Odd" } });
  await withFiles({ "tokenizer.json": odd }, async (folder) => {
    await assertRejects(() => checkTokenizer(folder), LoraFleetError, 'the decoder "Odd"');
  });
  await withFiles({ "tokenizer.json": odd.slice(0, odd.length / 2) }, async (folder) => {
    await assertRejects(() => checkTokenizer(folder), LoraFleetError, "tokenizer.json is not JSON");
  });
});
