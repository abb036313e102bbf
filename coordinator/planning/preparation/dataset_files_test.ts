/** Every format becomes the same packed rows as the same rows in JSON lines, and slices are those of `datasets`. */
import type { StoredRows } from "./packed_rows.ts";
import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { goldenPath } from "../../../tests/golden/data_goldens.ts";
import { LoraFleetError } from "../../../shared/errors.ts";
import {
  documentsOf,
  fileOf,
  prepare,
  prepareInMemory,
  specOf,
  texts,
  tokenizer,
} from "./dataset_fixture.ts";

async function prepareFile(name: string, content: string | null, dataset: Record<string, unknown> = {}) {
  const folder = name.slice(name.lastIndexOf(".") + 1);
  const path = content === null ? goldenPath(`data/formats/${folder}/${name}`) : await fileOf(content);
  return await prepareInMemory({ files: [{ path, name, sha256: null }], spec: specOf(dataset), tokenizer });
}

const arraysOf = async (preparing: Promise<{ rows: StoredRows }>) => ({
  ...(await preparing).rows,
  slice: null,
});

const ALPACA = [
  { instruction: "Add, please", input: "1 and 2", output: "three" },
  { instruction: "Sing", input: null, output: "la la" },
  { instruction: "Two\nlines", input: "in", output: 'say "hi"' },
];

Deno.test("a CSV file of Alpaca rows is prepared as the same rows in JSON lines are", async () => {
  const csv = await prepareFile("default_alpaca.csv", null);
  const jsonl = await prepare(ALPACA, specOf());
  assertEquals([csv.rows.tokens, csv.rows.completionMask], [jsonl.rows.tokens, jsonl.rows.completionMask]);
  // The third record begins in line 4.
  assertEquals(documentsOf(csv.rows).map(({ lines }) => lines![0]).toSorted(), [2, 3, 4]);
});

for (
  const [name, content] of [
    ["rows.json", JSON.stringify(ALPACA, null, 2)],
    ["rows.json", JSON.stringify({ version: 1, data: ALPACA })],
  ] as const
) {
  Deno.test(`a JSON file is prepared as the same rows in JSON lines are: ${content.slice(0, 12)}`, async () =>
    assertEquals(await arraysOf(prepareFile(name, content)), await arraysOf(prepare(ALPACA, specOf()))));
}

Deno.test("a text file trains each line, and leaves blank ones out", async () => {
  const { rows, report } = await prepareFile("rows.txt", "one two\n\nthree\n\n");
  assertEquals(documentsOf(rows).map(({ lines }) => lines), [[1], [3]]);
  assertEquals(report.warnings, ["2 blank lines of the text are left out."]);
  const whole = await prepareFile("rows.txt", "one two\n\nthree\n", { sample_by: "document" });
  assertEquals(whole.report.exampleCount, 1);
  const error = await assertRejects(() => prepareFile("rows.txt", "\n\n"), LoraFleetError);
  assertStringIncludes(error.message, "nothing but blank lines");
});

Deno.test("an unusable row of Parquet is named by its number, with the file's columns", async () => {
  const error = await assertRejects(() => prepareFile("no_form.parquet", null), LoraFleetError);
  assertEquals([error.code, error.param], ["invalid_dataset", "row 1"]);
  assertStringIncludes(
    error.message,
    'dataset: row 1 has "turns" (list<{speaker: string, words: list<string>}>), "score" (float), but neither',
  );
});

Deno.test("bytes in a Parquet column are refused with the schema", async () => {
  const error = await assertRejects(() => prepareFile("bytes.parquet", null), LoraFleetError);
  assertEquals(error.param, "row 1");
  assertStringIncludes(
    error.message,
    'has bytes in "image"; leave that column out (columns: image: binary, text: string)',
  );
});

/** The number that ends each text. */
const order = async (dataset: Record<string, unknown>) => {
  const { rows } = await prepare(texts(10), specOf({ ...dataset, packing: false }));
  return documentsOf(rows).map(({ lines }) => lines![0]! - 1);
};

Deno.test("rows are shuffled by the seed before the slice is taken, in the order of datasets", async () => {
  // datasets: list(range(10)) as a Dataset, .shuffle(seed=42)
  const shuffled = [5, 6, 0, 7, 3, 2, 4, 9, 1, 8];
  assertEquals(await order({ shuffle_seed: 42 }), shuffled);
  assertEquals(await order({ shuffle_seed: 42, split: "train[:30%]" }), shuffled.slice(0, 3));
  assertEquals(await order({ shuffle_seed: 42, split: "train[-2:]+train[:1]" }), [1, 8, 5]);
  assertEquals(await order({}), [...shuffled.keys()]);
});

Deno.test("a sum reads in its own order, and a row twice if it names it twice", async () => {
  assertEquals(await order({ split: "train[-10%:]+train[:2]" }), [9, 0, 1]);
  assertEquals(await order({ split: "train[:2] + train[1:3]" }), [0, 1, 1, 2]);
});

Deno.test("a slice beyond the rows is refused with their number; one that reaches beyond is warned of", async () => {
  const error = await assertRejects(
    () => prepare(texts(10), specOf({ split: "train[100:200]" })),
    LoraFleetError,
  );
  assertEquals([error.code, error.param], ["invalid_dataset", "dataset.split"]);
  assertEquals(error.message, "dataset.split train[100:200] has no rows: train has 10");
  const { report } = await prepare(texts(10), specOf({ split: "train[5:200]" }));
  assertEquals(report.warnings, [
    "dataset.split train[5:200] reaches beyond the rows (10 in train): there are no more.",
  ]);
});

Deno.test("several files are one dataset, and errors name the file", async () => {
  const files = await Promise.all(
    [["a.jsonl", '{"text":"a b"}\n'], ["b.csv", "text\nc d\n"], ["c.jsonl", '{"text":"e f"}\n{"text":7}\n']]
      .map(
        async ([name, content]) => ({
          ...{ path: await fileOf(content!), name: name!, sha256: null },
          split: name === "c.jsonl" ? "test" : "train",
        }),
      ),
  );
  const train = await prepareInMemory({ files, spec: specOf({ packing: false }), tokenizer });
  assertEquals(documentsOf(train.rows).map(({ lines }) => lines), [[1], [2]]);
  const test = await prepareInMemory({ files, spec: specOf({ split: "test[:1]" }), tokenizer });
  assertEquals(test.report.exampleCount, 1);
  const error = await assertRejects(
    () => prepareInMemory({ files, spec: specOf({ split: "test" }), tokenizer }),
    LoraFleetError,
  );
  assertStringIncludes(error.message, "row 2 has");
  const broken = [...files, { path: await fileOf("{"), name: "d.jsonl", sha256: null, split: "test" }];
  const named = await assertRejects(
    () => prepareInMemory({ files: broken, spec: specOf({ split: "test[:1]" }), tokenizer }),
    LoraFleetError,
  );
  assertStringIncludes(named.message, 'file "d.jsonl": dataset: line 1 is not JSON');
});

Deno.test("a CSV file with a quote that is never closed is refused with its line", async () => {
  const rows = Array.from({ length: 20_000 }, (_, index) => `"text ${index}"\n`);
  rows[15_000] = '"broken\n';
  const error = await assertRejects(() => prepareFile("rows.csv", "text\n" + rows.join("")), LoraFleetError);
  assertEquals([error.code, error.param], ["invalid_dataset", "line 15002"]);
  assertStringIncludes(error.message, "closes in line 15003 in the middle of a cell; a quote is missing");
  rows[15_000] = '"a "b" c"\n';
  const inner = await assertRejects(() => prepareFile("rows.csv", "text\n" + rows.join("")), LoraFleetError);
  assertStringIncludes(inner.message, 'line 15002 opens a quote (") that closes in the middle of a cell');
  rows[15_000] = "x\n";
  const last = await assertRejects(
    () => prepareFile("rows.csv", `text\n${rows.join("")}"end`),
    LoraFleetError,
  );
  assertEquals(last.param, "line 20002");
  rows[15_000] = "a,b\n";
  const cells = await assertRejects(() => prepareFile("rows.csv", "text\n" + rows.join("")), LoraFleetError);
  assertEquals(cells.param, "line 15002");
  assertStringIncludes(cells.message, 'has 2 cells, but the header names 1 columns ("text")');
});

Deno.test("a row of a JSON list that is no JSON is refused with its number and line", async () => {
  const error = await assertRejects(
    () => prepareFile("rows.json", '[\n{"text": "a b"},\n{"text": nope}\n]'),
    LoraFleetError,
  );
  assertEquals(error.param, "row 2");
  assertStringIncludes(error.message, "row 2 (in line 3) is not JSON");
});
