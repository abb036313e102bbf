import { assertAlmostEquals, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { LoraFleetError } from "../../../shared/errors.ts";
import type { JobSpec } from "../../../shared/job/job_spec_schema.ts";
import { countLabels } from "../../../shared/data/packing/micro_batch.ts";
import {
  documentsOf,
  fileOf,
  filesOf,
  MODEL,
  prepare,
  rowsOf,
  specOf,
  texts,
  tokenizer,
} from "./dataset_fixture.ts";
import { sha256Of } from "../../storage/streamed_file.ts";
import { planJob } from "../plan_job.ts";
import { prepareDataset } from "./dataset.ts";
import { rowCountOf } from "./packed_rows.ts";

async function refusal(rows: readonly unknown[] | string, spec: JobSpec): Promise<LoraFleetError> {
  return await assertRejects(() => prepare(rows, spec), LoraFleetError);
}

Deno.test("a file becomes rows and a report that adds up", async () => {
  const { rows, report, sha256 } = await prepare(texts(20), specOf({ max_seq_length: 32 }));
  const documents = documentsOf(rows);
  assertEquals(documents.length, 20);
  assertEquals([report.exampleCount, report.rowCount, report.truncatedRowCount], [20, rowCountOf(rows), 0]);
  assertEquals(report.tokenCount, documents.reduce((sum, { tokens }) => sum + tokens.length, 0));
  assertEquals(report.trainedTokenCount, report.tokenCount - 20);
  assertAlmostEquals(report.packingEfficiency, report.tokenCount / (32 * rowCountOf(rows)));
  assertEquals(report.warnings, []);
  assertEquals(sha256.length, 64);
});

Deno.test("a file that differs from the uploaded one is refused", async () => {
  const options = { files: filesOf(await fileOf(texts(3)), "0".repeat(64)), spec: specOf(), tokenizer };
  const error = await assertRejects(
    () => prepareDataset(options),
    LoraFleetError,
    "0000 when it was uploaded",
  );
  assertEquals([error.code, error.param], ["corrupt", "training_file"]);
});

Deno.test("a split takes its rows; lines outside of it are checked as well", async () => {
  const counts = async (split: string) => (await prepare(texts(25), specOf({ split }))).report.exampleCount;
  assertEquals([await counts("train"), await counts("train[:10%]"), await counts("train[20:]+train[:1]")], [
    25,
    2,
    6,
  ]);
  const error = await refusal('{"text":"a b"}\n{"text":"c d"}\n{', specOf({ split: "train[:1]" }));
  assertEquals(error.param, "line 3");
});

Deno.test("rows that are too long: how many, the longest and the limit, or cut and reported", async () => {
  const rows = [...texts(3), { text: "word ".repeat(40) }, { text: "word ".repeat(60) }];
  const error = await refusal(rows, specOf({ max_seq_length: 32 }));
  assertEquals([error.code, error.param], ["invalid_dataset", "dataset.max_seq_length"]);
  assertStringIncludes(
    error.message,
    "2 of 5 rows are longer than dataset.max_seq_length (32 tokens); the longest, line 5",
  );

  const cut = await prepare(rows, specOf({ max_seq_length: 32, truncation: "truncate" }));
  assertEquals(cut.report.truncatedRowCount, 2);
  assertStringIncludes(
    cut.report.warnings.join("\n"),
    "2 of 5 rows were cut to dataset.max_seq_length (32 tokens)",
  );
  assertEquals(
    Math.max(...documentsOf(cut.rows).map(({ tokens }) => tokens.length)),
    32,
  );
});

Deno.test("a cut that leaves nothing to train is refused with its line", async () => {
  const rows = [...texts(1), { prompt: "word ".repeat(40), completion: "x" }];
  const error = await refusal(rows, specOf({ max_seq_length: 16, truncation: "truncate" }));
  assertEquals([error.code, error.param], ["invalid_dataset", "line 2"]);
});

Deno.test("wrapped packing cuts its stream, loses nothing and drops rows without a label", async () => {
  const wrapped = { packing_strategy: "wrapped", max_seq_length: 16 };
  const long = await prepare([{ text: "word ".repeat(60) }], specOf(wrapped));
  assertEquals(long.report.truncatedRowCount, 0);
  assertEquals(
    rowsOf(long.rows).slice(0, -1).every(({ documents }) => documents[0]!.tokens.length === 16),
    true,
  );

  const spec = specOf(wrapped);
  const { rows, sha256 } = await prepare([{ prompt: "word ".repeat(60), completion: "x" }], spec);
  const plan = planJob({ id: "j", spec, model: MODEL, modelFolder: "/m", rows, datasetSha256: sha256 });
  for (let step = 1; step <= plan.totalSteps; step++) {
    assertEquals(plan.microBatchesOf(step).every((batch) => countLabels(batch) > 0), true);
  }
});

Deno.test("rows of one token have nothing to predict", async () => {
  const error = await refusal(texts(2), specOf({ packing_strategy: "wrapped", max_seq_length: 1 }));
  assertEquals([error.code, error.param], ["invalid_dataset", "dataset.max_seq_length"]);
});

Deno.test("without packing a row is one example", async () => {
  const { rows } = await prepare(texts(7), specOf({ packing: false }));
  assertEquals(rowsOf(rows).map(({ documents }) => documents.length), Array(7).fill(1));
});

const EMPTY: readonly [string, string, Record<string, unknown>, string, string][] = [
  ["an empty file", "", {}, "training_file", "is empty"],
  ["blank lines", "\n \n", {}, "training_file", "the dataset is empty"],
  ["an empty slice", '{"text":"a"}\n', { split: "train[5:]" }, "dataset.split", "has no rows"],
];
for (const [name, content, dataset, param, part] of EMPTY) {
  Deno.test(`refused: ${name}`, async () => {
    const error = await refusal(content, specOf(dataset));
    assertEquals([error.code, error.param], ["invalid_dataset", param]);
    assertStringIncludes(error.message, part);
  });
}

Deno.test("a split of a different name is refused before the file is read", async () => {
  const error = await refusal("not JSON", specOf({ split: "test" }));
  assertEquals([error.code, error.param], ["invalid_request", "dataset.split"]);
});

Deno.test("a missing file", async () => {
  const error = await assertRejects(
    () => prepareDataset({ files: filesOf("/nowhere/data.jsonl", ""), spec: specOf(), tokenizer }),
    LoraFleetError,
  );
  assertEquals([error.code, error.param], ["storage", "training_file"]);
});

Deno.test("an aborted preparation stops with the signal's reason", async () => {
  const filePath = await fileOf(texts(3));
  const fileSha256 = sha256Of(await Deno.readFile(filePath));
  const signal = AbortSignal.abort(new LoraFleetError("aborted", "cancelled"));
  await assertRejects(
    () => prepareDataset({ files: filesOf(filePath, fileSha256), spec: specOf(), tokenizer, signal }),
    LoraFleetError,
    "cancelled",
  );
});
