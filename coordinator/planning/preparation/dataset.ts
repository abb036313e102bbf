/** A job's data files as packed rows. */
import { createHash } from "node:crypto";
import { readDataset } from "../../../shared/data/examples/dataset.ts";
import { type DataFile, openRowSource } from "../../../shared/data/files/data_files.ts";
import { openDataFile, streamOf } from "../../../shared/data/files/data_bytes.ts";
import type { RowsElsewhere } from "../../../shared/data/examples/take_rows.ts";
import type { TokenBound } from "../../../shared/data/tokenizer/token_bound.ts";
import type { Tokenizer } from "../../../shared/data/tokenizer/tokenizer.ts";
import { LoraFleetError } from "../../../shared/errors.ts";
import type { DatasetSpec, JobSpec } from "../../../shared/job/job_spec_schema.ts";
import { datasetOf, type DatasetPart, heldOutOf, placesOfPart } from "./dataset_part.ts";
import { PREVIEWED_ROWS, previewMasks } from "./mask_preview.ts";
import { longestDocumentOf } from "./packed_rows.ts";
import type { Decoding, Progress } from "./preparation_messages.ts";
import type { PreparedStream } from "./prepared_file.ts";
import { layOut } from "./row_layout.ts";
import type { RowsSetUp } from "../tokenising/rows_calls.ts";
import { Numbers, TokenStore } from "./token_store.ts";

/** Tells how far a preparation is. */
export interface PreparationWatch {
  readonly onProgress?: (progress: Progress) => void;
  /** As `ReadOptions.onDecode`. */
  readonly onDecode?: (decoding: Decoding | null) => void;
}

interface PrepareDatasetOptions extends PreparationWatch {
  readonly files: readonly DataFile[];
  readonly spec: JobSpec;
  /** Left out: the rows that are trained on. */
  readonly part?: DatasetPart;
  readonly tokenizer: Tokenizer;
  /** Of the tokenizer: rows that exceed it are not tokenised. */
  readonly bound?: TokenBound;
  /** Of threads that build the rows; left out: they are built here. */
  readonly openThreads?:
    | ((rows: Omit<RowsSetUp, "modelFolder">) => RowsElsewhere & Disposable)
    | undefined;
  readonly signal?: AbortSignal;
  /** Where a large dataset's tokens may lie until they are written; left out: in memory. */
  readonly spoolFolder?: string;
}

/** Prepared rows that may be in a file: dispose of them when they are written. */
export interface PreparedDataset extends PreparedStream, Disposable {}

/**
 * The same files, spec and tokenizer always give the same rows in the same order. Throws a `LoraFleetError` as `readDataset` does,
 * `storage` if a file cannot be read, and `corrupt` if it is not the uploaded one.
 */
export async function prepareDataset(options: PrepareDatasetOptions): Promise<PreparedDataset> {
  const store = new TokenStore(options.spoolFolder ?? null);
  try {
    return { ...await fillStore(store, options), [Symbol.dispose]: () => store[Symbol.dispose]() };
  } catch (thrown) {
    store[Symbol.dispose]();
    throw thrown;
  }
}

async function fillStore(store: TokenStore, options: PrepareDatasetOptions): Promise<PreparedStream> {
  const { files, spec, part = "training", tokenizer, bound, openThreads, signal } = options;
  const { onProgress = () => {}, onDecode } = options;
  const dataset = datasetOf(spec, part);
  for (const file of files) await checkHash(file);
  const done = { rows: 0, tokens: 0 };
  const source = await openRowSource(
    files,
    { ...dataset, onDecode },
    (bytes, totalBytes) => onProgress({ bytes, totalBytes, ...done }),
  );
  /** For each place the index of its document plus 1; 0 for a row that is left out. */
  const places = new Numbers();
  const rowsSpec = { ...dataset, isEvaluated: part === "validation" };
  using elsewhere = openThreads?.({ spec: rowsSpec, unit: source.unit });
  const { placeCount, truncatedRowCount, warnings } = await readDataset({
    ...{ source, spec: rowsSpec, tokenizer, signal, bound, elsewhere },
    add(taken, example) {
      const document = store.add(example);
      for (const place of taken) places.set(place, document + 1);
      done.rows += taken.length;
      done.tokens += taken.length * example.tokens.length;
    },
  });
  const documents = placesOfPart(placeCount, heldOutOf(spec), part)
    .map((place) => place < places.length ? places.at(place) : 0)
    .filter((document) => document > 0).map((document) => document - 1);
  if (documents.length === 0) throw allLeftOut(placeCount, spec.dataset);
  const strategy = dataset.packing ? dataset.packing_strategy : "none";
  const { rows, rowCount, trainedTokenCount } = layOut(store, documents, strategy, dataset.max_seq_length);
  if (rowCount === 0) {
    throw new LoraFleetError(
      "invalid_dataset",
      `packed into rows of ${dataset.max_seq_length} tokens, no row has a token that counts in the loss; raise dataset.max_seq_length`,
      { param: "dataset.max_seq_length" },
    );
  }
  const { tokenCount } = rows;
  const previewed = Array.from(documents.subarray(0, PREVIEWED_ROWS), (document) => store.example(document));
  return {
    rows,
    report: {
      exampleCount: documents.length,
      ...{ rowCount, tokenCount, trainedTokenCount, truncatedRowCount, warnings },
      longestDocument: longestDocumentOf(rows),
      packingEfficiency: tokenCount / (rowCount * dataset.max_seq_length),
      masks: previewMasks(previewed, tokenizer),
    },
  };
}

/** All rows that the part has drawn are left out; the other part has the rest. */
function allLeftOut(rowCount: number, { test_size }: DatasetSpec): LoraFleetError {
  const message =
    `dataset.test_size is ${test_size}: none of the rows that it leaves here, of ${rowCount} in all, can be trained on (they are ` +
    `blank, or have no response_template); change it, or the seed`;
  return new LoraFleetError("invalid_dataset", message, { param: "dataset.test_size" });
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
