/** For tests of datasets: training files of one's own, prepared with a small tokenizer. */
import { join } from "@std/path";
import { loadTokenizer } from "../../../shared/data/tokenizer/tokenizer.ts";
import { type JobSpec, jobSpecSchema } from "../../../shared/job/job_spec_schema.ts";
import { goldenPath } from "../../../tests/golden/data_goldens.ts";
import { sha256Of } from "../../storage/streamed_file.ts";
import { prepareDataset } from "./dataset.ts";
import { collectRows, heldRows, rowAt, rowCountOf, type StoredRows } from "./packed_rows.ts";

export const tokenizer = await loadTokenizer(goldenPath("data/byte_level"));
export const MODEL = {
  hash: "a".repeat(64),
  files: [{ name: "config.json", size: 1, sha256: "b".repeat(64) }],
};

export function specOf(
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

export async function fileOf(rows: readonly unknown[] | string): Promise<string> {
  const folder = await Deno.makeTempDir();
  folders.push(folder);
  const path = join(folder, "data.jsonl");
  await Deno.writeTextFile(
    path,
    typeof rows === "string" ? rows : rows.map((row) => JSON.stringify(row) + "\n").join(""),
  );
  return path;
}

/** A dataset's rows and report, read back at once. */
export async function prepareInMemory(options: Parameters<typeof prepareDataset>[0]) {
  using prepared = await prepareDataset(options);
  return { report: prepared.report, rows: heldRows(collectRows(prepared.rows)) };
}

export const filesOf = (path: string, sha256: string) => [{ path, name: "data.jsonl", sha256 }];

export const rowsOf = (rows: StoredRows) =>
  Array.from({ length: rowCountOf(rows) }, (_, index) => rowAt(rows, index));
export const documentsOf = (rows: StoredRows) => rowsOf(rows).flatMap(({ documents }) => documents);

export const texts = (count: number) =>
  Array.from({ length: count }, (_, i) => ({ text: "word ".repeat(1 + i % 5) + i }));
export const prepare = async (rows: readonly unknown[] | string, spec: JobSpec) => {
  const filePath = await fileOf(rows);
  const sha256 = sha256Of(await Deno.readFile(filePath));
  return { ...await prepareInMemory({ files: filesOf(filePath, sha256), spec, tokenizer }), sha256 };
};
