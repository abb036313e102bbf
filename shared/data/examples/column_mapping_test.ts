import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { goldenPath } from "../../../tests/golden/data_goldens.ts";
import { LoraFleetError } from "../../errors.ts";
import { datasetSchema } from "../../job/job_spec_schema.ts";
import { parseJson } from "../../python/json/parse_json.ts";
import type { PyValue } from "../../python/values/value.ts";
import { loadTokenizer } from "../tokenizer/tokenizer.ts";
import { createExampleBuilder } from "./examples.ts";

const tokenizer = await loadTokenizer(goldenPath("data/byte_level"));

function build(column_mapping: Record<string, string> | undefined, ...rows: unknown[]) {
  const dataset = column_mapping === undefined ? {} : { column_mapping };
  const builder = createExampleBuilder(tokenizer, datasetSchema.parse(dataset));
  const examples = rows.map((row, index) =>
    builder.build({ line: index + 1, fields: parseJson(JSON.stringify(row)) as Map<string, PyValue> })
  );
  builder.finish();
  return examples.map(({ tokens, completionMask }) => ({ tokens: [...tokens], mask: [...completionMask] }));
}

const QA = { question: "a b?", answer: "c d" };
const PAIR = { prompt: "a b?", completion: "c d" };

Deno.test("columns that are mapped make the rows that their new names would", () => {
  assertEquals(build({ prompt: "question", completion: "answer" }, QA), build(undefined, PAIR));
  assertEquals(
    build({ instruction: "question", output: "answer" }, QA),
    build(undefined, { instruction: "a b?", output: "c d" }),
  );
  assertEquals(build({ prompt: "completion", completion: "prompt" }, { prompt: "x", completion: "y" }), [
    build(undefined, { prompt: "y", completion: "x" })[0],
  ]);
});

Deno.test("a column of the file that has a mapped name by itself is left out", () => {
  assertEquals(
    build({ prompt: "question", completion: "answer" }, { ...QA, prompt: "z" }),
    build(undefined, PAIR),
  );
});

Deno.test("a row in two forms has the one that is mapped", () => {
  const row = { ...PAIR, text: "t" };
  assertThrows(
    () => build(undefined, row),
    LoraFleetError,
    "name the one that is meant in dataset.column_mapping",
  );
  assertEquals(build({ completion: "completion" }, row), build(undefined, PAIR));
  assertEquals(build({ text: "text" }, row), build(undefined, { text: "t" }));
});

Deno.test("Alpaca and ShareGPT yield to a text or messages beside them", () => {
  const alpaca = { instruction: "a", output: "b" };
  const chat = { conversations: [{ from: "human", value: "a" }, { from: "gpt", value: "b" }] };
  const text = { text: "t" };
  assertEquals(build(undefined, { ...alpaca, ...text }, { ...chat, ...text }), build(undefined, text, text));
  assertThrows(
    () => build(undefined, { ...alpaca, ...chat }),
    LoraFleetError,
    `"conversations" and "instruction"`,
  );
});

Deno.test("a column that no row has is refused with those that exist; one that some rows lack is not", () => {
  const optional = { instruction: "question", input: "hint", output: "answer" };
  build(optional, QA, { ...QA, hint: "h" });
  const error = assertThrows(() => build(optional, QA, QA), LoraFleetError);
  assertEquals([error.code, error.param], ["invalid_dataset", "dataset.column_mapping"]);
  assertEquals(
    error.message,
    'dataset.column_mapping takes "input" from the column "hint", which no row has; the columns are "question", "answer"',
  );
});

Deno.test("a row of no form shows its columns with their types, as they are after the mapping", () => {
  const row = { turns: [{ speaker: "a", words: ["b"] }], score: 1.5, n: 2, ok: true, gone: null, none: [] };
  const error = assertThrows(() => build(undefined, row), LoraFleetError);
  assertStringIncludes(
    error.message,
    'dataset: line 1 has "turns" (list<{speaker: string, words: list<string>}>), "score" (float), "n" (int), "ok" (bool), ' +
      '"gone" (null), "none" (empty list), but neither',
  );
  const mapped = assertThrows(() => build({ prompt: "turns" }, row), LoraFleetError);
  assertStringIncludes(mapped.message, '"prompt" (list<');
  assertStringIncludes(mapped.message, "after dataset.column_mapping");
});

Deno.test("a row of no form whose mapped column is absent shows the column that was meant", () => {
  const error = assertThrows(() => build({ prompt: "qestion", completion: "answer" }, QA), LoraFleetError);
  assertStringIncludes(
    error.message,
    ': dataset.column_mapping takes "prompt" from "qestion", which the row does not have; did you mean "question"?',
  );
});
