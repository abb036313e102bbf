import {
  assertAlmostEquals,
  assertEquals,
  assertNotEquals,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { join } from "@std/path";
import { loadTokenizer } from "../../../shared/data/tokenizer/tokenizer.ts";
import { LoraFleetError } from "../../../shared/errors.ts";
import { type JobSpec, jobSpecSchema, localStepsSchema } from "../../../shared/job/job_spec.ts";
import { countLabels } from "../../../shared/data/packing/micro_batch.ts";
import { goldenPath } from "../../../tests/golden/data_goldens.ts";
import type { PlannedJob } from "../planned_job.ts";
import { type PackedRows, rowAt, rowCountOf } from "./packed_rows.ts";
import { sha256Of } from "../../storage/streamed_file.ts";
import { tokenCountOf, tokensUntil } from "../token_count.ts";
import { planJob, prepareDataset } from "./dataset.ts";

const tokenizer = await loadTokenizer(goldenPath("data_byte_level"));
const MODEL = { hash: "a".repeat(64), files: [{ name: "config.json", size: 1, sha256: "b".repeat(64) }] };

function specOf(
  dataset: Record<string, unknown> = {},
  training: Record<string, unknown> = {},
  seed = 42,
): JobSpec {
  return jobSpecSchema.parse({ model: "m", training_file: "file-1", seed, training, dataset });
}

const folders: string[] = [];
Deno.test.afterAll(async () => {
  for (const folder of folders) await Deno.remove(folder, { recursive: true });
});

async function fileOf(rows: readonly unknown[] | string): Promise<string> {
  const folder = await Deno.makeTempDir();
  folders.push(folder);
  const path = join(folder, "data.jsonl");
  await Deno.writeTextFile(
    path,
    typeof rows === "string" ? rows : rows.map((row) => JSON.stringify(row) + "\n").join(""),
  );
  return path;
}

const rowsOf = (rows: PackedRows) =>
  Array.from({ length: rowCountOf(rows) }, (_, index) => rowAt(rows, index));
const documentsOf = (rows: PackedRows) => rowsOf(rows).flatMap(({ documents }) => documents);
const savesOf = ({ checkpointSteps, totalSteps }: PlannedJob) =>
  Array.from({ length: totalSteps }, (_, i) => i + 1).filter((step) => checkpointSteps.includes(step));

const texts = (count: number) =>
  Array.from({ length: count }, (_, i) => ({ text: "word ".repeat(1 + i % 5) + i }));
const prepare = async (rows: readonly unknown[] | string, spec: JobSpec) => {
  const filePath = await fileOf(rows);
  const sha256 = sha256Of(await Deno.readFile(filePath));
  return { ...await prepareDataset({ filePath, fileSha256: sha256, spec, tokenizer }), sha256 };
};

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

Deno.test("a file that is not the one that was uploaded is refused", async () => {
  const options = { filePath: await fileOf(texts(3)), fileSha256: "0".repeat(64), spec: specOf(), tokenizer };
  const error = await assertRejects(
    () => prepareDataset(options),
    LoraFleetError,
    "0000 when it was uploaded",
  );
  assertEquals([error.code, error.param], ["corrupt", "training_file"]);
});

Deno.test("the same file and spec give the same job, every time", async () => {
  const spec = specOf({ max_seq_length: 32 }, {
    gradient_accumulation_steps: 2,
    per_device_train_batch_size: 2,
  });
  const plans = await Promise.all([1, 2].map(async () => {
    const { rows, sha256 } = await prepare(texts(30), spec);
    return planJob({ id: "job-1", spec, model: MODEL, modelFolder: "/m", rows, datasetSha256: sha256 });
  }));
  const [a, b] = plans as [typeof plans[0], typeof plans[0]];
  assertEquals(a.specHash, b.specHash);
  for (let step = 1; step <= a.totalSteps; step++) {
    assertEquals(a.microBatchesOf(step), b.microBatchesOf(step));
  }
});

Deno.test("a plan's steps hold every trained token once an epoch, within the sizes it announces", async () => {
  const spec = specOf({ max_seq_length: 32 }, {
    gradient_accumulation_steps: 3,
    per_device_train_batch_size: 2,
    num_train_epochs: 2,
    save_strategy: "epoch",
  });
  const { rows, sha256, report } = await prepare(texts(40), spec);
  const plan = planJob({ id: "job-1", spec, model: MODEL, modelFolder: "/m", rows, datasetSha256: sha256 });
  let labels = 0;
  let largest = 0;
  let positions = 0;
  for (let step = 1; step <= plan.totalSteps; step++) {
    for (const batch of plan.microBatchesOf(step)) {
      labels += countLabels(batch);
      largest = Math.max(largest, batch.tokens.length);
      positions = Math.max(positions, ...[...batch.positions].map((position) => position + 1));
    }
  }
  assertEquals(labels, 2 * report.trainedTokenCount);
  assertEquals([plan.maxTokensPerMicroBatch, plan.maxPositions], [largest, positions]);
  assertEquals(savesOf(plan), [plan.totalSteps / 2, plan.totalSteps]);
  assertEquals(plan.epochsAfter(plan.totalSteps), 2);
});

Deno.test("the hash changes with spec, data and base model", async () => {
  const { rows, sha256 } = await prepare(texts(4), specOf());
  const hashOf = (spec: JobSpec, datasetSha256: string, hash: string) =>
    planJob({ id: "j", spec, model: { ...MODEL, hash }, modelFolder: "/m", rows, datasetSha256 }).specHash;
  const hashes = [
    hashOf(specOf(), sha256, MODEL.hash),
    hashOf(specOf({}, {}, 43), sha256, MODEL.hash),
    hashOf(specOf(), "c".repeat(64), MODEL.hash),
    hashOf(specOf(), sha256, "d".repeat(64)),
  ];
  assertEquals(new Set(hashes).size, 4);
  assertNotEquals((await prepare(texts(5), specOf())).sha256, sha256);
});

Deno.test("a split takes its rows, and a line outside of it is read all the same", async () => {
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

Deno.test("with local steps each data step is in one inner loop of one outer step; steps and checkpoints are outer ones", async () => {
  const training = {
    num_train_epochs: 3,
    gradient_accumulation_steps: 2,
    save_strategy: "steps",
    save_steps: 5,
  };
  const plain = specOf({ packing: false }, training);
  const spec = {
    ...plain,
    fleet: { ...plain.fleet, local_steps: localStepsSchema.parse({ inner_steps: 3, replicas: 2 }) },
  };
  const { rows, sha256 } = await prepare(texts(9), spec);
  const planOf = (spec: JobSpec) =>
    planJob({ id: "j", spec, model: MODEL, modelFolder: "/m", rows, datasetSha256: sha256 });
  const [steps, plan] = [planOf(plain), planOf(spec)];
  // Five data steps an epoch, the last one of one micro-batch alone.
  assertEquals([steps.totalSteps, plan.totalSteps, plan.local!.totalDataSteps], [15, 3, 15]);
  assertEquals([savesOf(steps), savesOf(plan)], [[5, 10, 15], [1, 2, 3]]);
  assertEquals(
    [1, 2, 3].map((step) => plan.epochsAfter(step)),
    [6, 12, 15].map((step) => steps.epochsAfter(step)),
  );
  const innerSteps = [1, 2, 3].flatMap((step) => plan.local!.innerLoopsOf(step)).flatMap(({ innerSteps }) =>
    innerSteps
  );
  const micro = innerSteps.map(({ number, microBatchCount }) => [number, microBatchCount] as const)
    .sort(([a], [b]) => a - b);
  assertEquals(micro, Array.from({ length: 15 }, (_, i) => [2 * i, i % 5 === 4 ? 1 : 2] as const));
  assertEquals(plan.microBatchesOf(15), steps.microBatchesOf(15));
  assertNotEquals(plan.specHash, steps.specHash);
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
  ["an empty file", "", {}, "training_file", "the dataset is empty"],
  ["blank lines", "\n \n", {}, "training_file", "the dataset is empty"],
  ["an empty slice", '{"text":"a"}\n', { split: "train[5:]" }, "dataset.split", "has no rows"],
];
for (const [name, content, dataset, param, words] of EMPTY) {
  Deno.test(`refused: ${name}`, async () => {
    const error = await refusal(content, specOf(dataset));
    assertEquals([error.code, error.param], ["invalid_dataset", param]);
    assertStringIncludes(error.message, words);
  });
}

Deno.test("a split of another name is refused before the file is read", async () => {
  const error = await refusal("not JSON", specOf({ split: "test" }));
  assertEquals([error.code, error.param], ["invalid_request", "dataset.split"]);
});

Deno.test("a file that is not there", async () => {
  const error = await assertRejects(
    () => prepareDataset({ filePath: "/nowhere/data.jsonl", fileSha256: "", spec: specOf(), tokenizer }),
    LoraFleetError,
  );
  assertEquals([error.code, error.param], ["storage", "training_file"]);
});

Deno.test("an aborted preparation stops with the signal's reason", async () => {
  const filePath = await fileOf(texts(3));
  const fileSha256 = sha256Of(await Deno.readFile(filePath));
  const signal = AbortSignal.abort(new LoraFleetError("aborted", "cancelled"));
  await assertRejects(
    () => prepareDataset({ filePath, fileSha256, spec: specOf(), tokenizer, signal }),
    LoraFleetError,
    "cancelled",
  );
});

Deno.test("a micro-batch is named by the lines of the file that it was made of", async () => {
  // Lines 2 and 5 are blank.
  const file = ["a b", null, "c d e", "f", null, "g h i j k"]
    .map((text) => text === null ? "\n" : JSON.stringify({ text }) + "\n").join("");
  const plan = async (dataset: Record<string, unknown>, rowsPerMicroBatch = 1) => {
    const spec = specOf({ shuffle: false, ...dataset }, {
      ...{
        per_device_train_batch_size: rowsPerMicroBatch,
        gradient_accumulation_steps: 2,
        num_train_epochs: 1,
      },
    });
    const { rows, sha256 } = await prepare(file, spec);
    const job = planJob({ id: "j", spec, model: MODEL, modelFolder: "/m", rows, datasetSha256: sha256 });
    return Array.from(
      { length: job.totalSteps },
      (_, i) =>
        job.microBatchesOf(i + 1).map((batch, index) => [job.linesOf(i + 1, index), batch.tokens.length]),
    ).flat();
  };
  assertEquals((await plan({ packing: false })).map(([lines]) => lines), [[1], [3], [4], [6]]);
  assertEquals((await plan({ packing: false }, 3)).map(([lines]) => lines), [[1, 3, 4], [6]]);
  assertEquals((await plan({ packing: false, split: "train[1:3]+train[:2]" }, 4)).map(([lines]) => lines), [
    [1, 3, 4],
  ]);
  // All of them in one row.
  assertEquals((await plan({ max_seq_length: 512 })).map(([lines]) => lines), [[1, 3, 4, 6]]);
  const wrapped = await plan({ packing_strategy: "wrapped", max_seq_length: 4 });
  assertEquals(new Set(wrapped.flatMap(([lines]) => lines)), new Set([1, 3, 4, 6]));
});

Deno.test("tokens of steps are counted from lengths as the micro-batches have them, with and without local steps", async () => {
  const training = { num_train_epochs: 3, gradient_accumulation_steps: 2, per_device_train_batch_size: 2 };
  const plain = specOf({ packing: false }, training);
  const spec = {
    ...plain,
    fleet: { ...plain.fleet, local_steps: localStepsSchema.parse({ inner_steps: 2, replicas: 2 }) },
  };
  const { rows, sha256 } = await prepare(texts(13), plain);
  const planOf = (spec: JobSpec) =>
    planJob({ id: "j", spec, model: MODEL, modelFolder: "/m", rows, datasetSha256: sha256 });
  const [steps, outer] = [planOf(plain), planOf(spec)];
  const tokensOf = (dataStep: number) => steps.microBatchesOf(dataStep).map(({ tokens }) => tokens.length);
  const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);
  let total = 0;
  for (let step = 1; step <= steps.totalSteps; step++) {
    assertEquals(tokenCountOf(steps, step, []), sum(tokensOf(step)));
    assertEquals(tokenCountOf(steps, step, [0]), sum(tokensOf(step).slice(1)));
    total += sum(tokensOf(step));
    assertEquals(tokensUntil(steps, step, [{ step: step + 1, microBatch: 0 }]), total);
    assertEquals(tokensUntil(steps, step, [{ step: 1, microBatch: 1 }]), total - tokensOf(1)[1]!);
  }
  // Four data steps an outer step: the second replica has the second and the fourth of them.
  assertEquals(tokenCountOf(outer, 2, []), sum([5, 6, 7, 8].flatMap(tokensOf)));
  assertEquals(tokenCountOf(outer, 2, [1]), sum([5, 7].flatMap(tokensOf)));
  assertEquals([tokensUntil(outer, 0, []), tokensUntil(outer, outer.totalSteps, [])], [0, total]);
});

Deno.test("a million epochs are planned at once, and their buffers hold any micro-batch", async () => {
  for (const rowsEach of [1, 3]) {
    const training = {
      num_train_epochs: 1e6,
      per_device_train_batch_size: rowsEach,
      gradient_accumulation_steps: 2,
    };
    const spec = specOf({ packing: false }, training);
    const { rows, sha256 } = await prepare(texts(243), spec);
    const startedAt = performance.now();
    const plan = planJob({ id: "j", spec, model: MODEL, modelFolder: "/m", rows, datasetSha256: sha256 });
    const steps = Math.ceil(Math.ceil(243 / rowsEach) / 2) * 1e6;
    assertEquals([plan.totalSteps, plan.checkpointSteps.includes(steps)], [steps, true]);
    assertEquals(tokensUntil(plan, steps, []), 1e6 * rows.tokens.length);
    assertEquals(
      plan.maxTokensPerMicroBatch,
      rowsEach * Math.max(...documentsOf(rows).map((d) => d.tokens.length)),
    );
    const elapsed = performance.now() - startedAt;
    assertEquals(elapsed < 1000, true, `${elapsed} ms`);
  }
});
