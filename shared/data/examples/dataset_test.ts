import { assert, assertEquals, assertRejects } from "@std/assert";
import { goldenPath } from "../../../tests/golden/data_goldens.ts";
import { LoraFleetError } from "../../errors.ts";
import { datasetSchema } from "../../job/job_spec_schema.ts";
import type { Example } from "../packing/example.ts";
import type { RowSource } from "../files/data_files.ts";
import { readJsonLines } from "../rows/jsonl.ts";
import { readDataset } from "./dataset.ts";
import { createTokenBound } from "../tokenizer/token_bound.ts";
import { loadTokenizer, type Tokenizer } from "../tokenizer/tokenizer.ts";

function sourceOf(bytes: Uint8Array): RowSource {
  const rows = () => readJsonLines(ReadableStream.from([bytes]));
  return {
    ...{ splits: ["train"], unit: "line", hasBlankLines: false, rows },
    count: async () => (await Array.fromAsync(rows())).length,
  };
}

const real = await loadTokenizer(goldenPath("data/byte_level"));
const bound = createTokenBound(
  JSON.parse(await Deno.readTextFile(`${goldenPath("data/byte_level")}/tokenizer.json`)),
);

/** Reads rows with a tokenizer that counts the characters that it was given. */
async function read(rows: readonly unknown[], dataset: object, chatTemplate = real.chatTemplate) {
  const bytes = new TextEncoder().encode(rows.map((row) => JSON.stringify(row) + "\n").join(""));
  let characters = 0;
  const tokenizer: Tokenizer = {
    ...real,
    chatTemplate,
    encode: (text, options) => {
      characters += text.length;
      return real.encode(text, options);
    },
  };
  const examples: Example[] = [];
  const source = sourceOf(bytes);
  const add = (places: readonly number[], example: Example) =>
    places.forEach((place) => examples[place] = example);
  const result = readDataset({ source, spec: datasetSchema.parse(dataset), tokenizer, bound, add })
    .then((summary) => ({ ...summary, examples }));
  const error = await result.then(() => null, (thrown) => thrown as LoraFleetError);
  return { error, characters: () => characters, result };
}

const huge = "a".repeat(3_000_000);

for (
  const [form, row] of [
    ["text", { text: huge }],
    ["prompt and completion", { prompt: "q", completion: huge }],
    ["prompt alone", { prompt: huge, completion: "b" }],
  ] as const
) {
  Deno.test(`one row of 3 MB of "a" is refused without a look at it: ${form}`, async () => {
    const { error, characters } = await read([{ text: "a b" }, row], { max_seq_length: 128 });
    assertEquals([error?.code, error?.param], ["invalid_dataset", "dataset.max_seq_length"]);
    assert(
      /^1 of 2 rows are longer .*line 2, has at least \d{4,}\. Raise it/.test(error!.message),
      error!.message,
    );
    assert(characters() < 10, `${characters()} characters were tokenised`);
  });
}

Deno.test("a row that is cut is tokenised as a whole, however long it is", async () => {
  const text = "a b ".repeat(5000);
  const { result } = await read([{ text }], { max_seq_length: 16, truncation: "truncate" });
  const { examples } = await result;
  assertEquals([...examples[0]!.tokens], real.encode(text).slice(0, 16));
});

Deno.test("wrapped packing has no longest row", async () => {
  const text = "a b ".repeat(5000);
  const { result } = await read([{ text }], { max_seq_length: 16, packing_strategy: "wrapped" });
  assertEquals((await result).examples[0]!.tokens.length, real.encode(text).length + 1);
});

Deno.test("a refusal needs not the whole file: the message says how far it was read", async () => {
  const rows = Array.from({ length: 5000 }, (_, i) => ({ text: i % 100 === 7 ? "a b ".repeat(40) : "a b" }));
  const { error } = await read(rows, { max_seq_length: 32 });
  const [, tooLong, read1, line] =
    /^(\d+) of the first (\d+) rows .* line (\d+), has \d+\./.exec(error!.message) ?? [];
  assertEquals([tooLong, read1, line], ["11", "1008", "8"], error!.message);
  const all = await assertRejects(async () =>
    await (await read(rows.slice(0, 900), { max_seq_length: 32 })).result
  );
  assert(all instanceof LoraFleetError && all.message.startsWith("9 of 900 rows are longer"), String(all));
});

const TURNS =
  "{% for m in messages %}{% if m.role != 'system' %}[{{ m.role }}]{{ m.content }}{{ eos_token }}{% endif %}{% endfor %}" +
  "{% if add_generation_prompt %}[assistant]{% endif %}";
const chat = (...contents: readonly string[]) => ({
  messages: ["system", "user", "assistant"].map((role, turn) => ({ role, content: contents[turn] })),
});

Deno.test("of a chat counts what its template writes: a huge turn is refused, a huge one that is dropped is not", async () => {
  const long = await read([chat("s", "q", huge)], { max_seq_length: 128 }, TURNS);
  assert(/line 1, has at least \d{4,}/.test(long.error?.message ?? ""), String(long.error));
  assertEquals(long.characters(), 0);
  const dropped = await read([chat(huge, "q", "a")], { max_seq_length: 128 }, TURNS);
  assertEquals((await dropped.result).examples.length, 1);
});
