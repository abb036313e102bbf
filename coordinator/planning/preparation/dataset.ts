/** A job's data files as packed rows. */
import { createHash } from "node:crypto";
import { readDataset } from "../../../shared/data/examples/dataset.ts";
import { countExampleLabels, type Example } from "../../../shared/data/packing/example.ts";
import { packRows } from "../../../shared/data/packing/packing.ts";
import { type DataFile, openRowSource } from "../../../shared/data/files/data_files.ts";
import { openDataFile, streamOf } from "../../../shared/data/files/data_bytes.ts";
import type { TokenBound } from "../../../shared/data/tokenizer/token_bound.ts";
import type { Tokenizer } from "../../../shared/data/tokenizer/tokenizer.ts";
import { LoraFleetError } from "../../../shared/errors.ts";
import type { JobSpec } from "../../../shared/job/job_spec_schema.ts";
import { previewMasks } from "./mask_preview.ts";
import { datasetOf, type DatasetPart, heldOutOf, rowsOfPart } from "./dataset_part.ts";
import { flattenRows, longestDocumentOf } from "./packed_rows.ts";
import type { Progress } from "./preparation_messages.ts";
import type { PreparedRows } from "./prepared_file.ts";

interface PrepareDatasetOptions {
  readonly files: readonly DataFile[];
  readonly spec: JobSpec;
  /** Left out: the rows that are trained on. */
  readonly part?: DatasetPart;
  readonly tokenizer: Tokenizer;
  /** Of the tokenizer: rows that exceed it are not tokenised. */
  readonly bound?: TokenBound;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: Progress) => void;
}

/**
 * The same files, spec and tokenizer always give the same rows in the same order. Throws a `LoraFleetError` as `readDataset` does,
 * `storage` if a file cannot be read, and `corrupt` if it is not the uploaded one.
 */
export async function prepareDataset(
  { files, spec, part = "training", tokenizer, bound, signal, onProgress = () => {} }: PrepareDatasetOptions,
): Promise<PreparedRows> {
  const dataset = datasetOf(spec, part);
  for (const file of files) await checkHash(file);
  const done = { rows: 0, tokens: 0 };
  const source = await openRowSource(
    files,
    dataset,
    (bytes, totalBytes) => onProgress({ bytes, totalBytes, ...done }),
  );
  const placed: Example[] = [];
  const { truncatedRowCount, warnings } = await readDataset({
    ...{ source, spec: dataset, tokenizer, signal, bound },
    add(places, example) {
      for (const place of places) placed[place] = example;
      done.rows += places.length;
      done.tokens += places.length * example.tokens.length;
    },
  });
  const all = placed.filter((example) => example !== undefined);
  const examples = rowsOfPart(all, heldOutOf(spec), part);
  const strategy = dataset.packing ? dataset.packing_strategy : "none";
  // A row of a "wrapped" stream may be all prompt and have no gradient; nor would a step of such rows.
  const rows = packRows(examples, strategy, dataset.max_seq_length)
    .filter((row) => row.documents.some((document) => countExampleLabels(document) > 0));
  if (rows.length === 0) {
    throw new LoraFleetError(
      "invalid_dataset",
      `packed into rows of ${dataset.max_seq_length} tokens, no row has a token that counts in the loss; raise dataset.max_seq_length`,
      { param: "dataset.max_seq_length" },
    );
  }
  const flat = flattenRows(rows);
  const tokenCount = flat.tokens.length;
  return {
    rows: flat,
    report: {
      exampleCount: examples.length,
      rowCount: rows.length,
      tokenCount,
      trainedTokenCount: rows.flatMap(({ documents }) => documents)
        .reduce((sum, document) => sum + countExampleLabels(document), 0),
      truncatedRowCount,
      longestDocument: longestDocumentOf(flat),
      packingEfficiency: tokenCount / (rows.length * dataset.max_seq_length),
      warnings,
      masks: previewMasks(examples, tokenizer),
    },
  };
}

/** Throws `corrupt` if the file is not the one that it was. */
async function checkHash({ path, sha256 }: DataFile): Promise<void> {
  if (sha256 === null) return;
  const hash = createHash("sha256");
  using bytes = await openDataFile(path, "the training file");
  for await (const chunk of streamOf(bytes)) hash.update(chunk);
  const found = hash.digest("hex");
  if (found === sha256) return;
  const message =
    `the training file has the SHA-256 ${found}, but had ${sha256} when it was uploaded; upload it again`;
  throw new LoraFleetError("corrupt", message, { param: "training_file" });
}
