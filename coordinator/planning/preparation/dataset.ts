/** A job's training file as packed rows. */
import { createHash } from "node:crypto";
import { readDataset } from "../../../shared/data/examples/dataset.ts";
import { countExampleLabels } from "../../../shared/data/packing/example.ts";
import { packRows } from "../../../shared/data/packing/packing.ts";
import type { TokenBound } from "../../../shared/data/tokenizer/token_bound.ts";
import type { Tokenizer } from "../../../shared/data/tokenizer/tokenizer.ts";
import { LoraFleetError, messageOf } from "../../../shared/errors.ts";
import type { JobSpec } from "../../../shared/job/job_spec_schema.ts";
import { previewMasks } from "./mask_preview.ts";
import { flattenRows, longestDocumentOf } from "./packed_rows.ts";
import type { PreparedRows } from "./prepared_file.ts";

interface PrepareDatasetOptions {
  /** JSON lines. */
  readonly filePath: string;
  /** Of the uploaded file. */
  readonly fileSha256: string;
  readonly spec: JobSpec;
  readonly tokenizer: Tokenizer;
  /** Of the tokenizer: rows that exceed it are not tokenised. */
  readonly bound?: TokenBound;
  readonly signal?: AbortSignal;
  /** Called with the bytes read so far, from 0 again each time the file is read. */
  readonly onRead?: (bytes: number) => void;
}

/**
 * The same file, spec and tokenizer always give the same rows in the same order. Throws a `LoraFleetError` as `readDataset` does,
 * `storage` if the file cannot be read, and `corrupt` if it is not the uploaded one.
 */
export async function prepareDataset(
  { filePath, fileSha256, spec, tokenizer, bound, signal, onRead = () => {} }: PrepareDatasetOptions,
): Promise<PreparedRows> {
  const { dataset } = spec;
  const sha256 = await hashFile(filePath);
  if (fileSha256 !== sha256) {
    const message =
      `the training file has the SHA-256 ${sha256}, but had ${fileSha256} when it was uploaded; upload it again`;
    throw new LoraFleetError("corrupt", message, { param: "training_file" });
  }
  const { examples, truncatedRowCount, warnings } = await readDataset(
    () => Promise.resolve(readFile(filePath, onRead)),
    dataset,
    tokenizer,
    signal,
    bound,
  );
  const strategy = dataset.packing ? dataset.packing_strategy : "none";
  // A row of a "wrapped" stream may be all prompt and have no gradient; nor would a step of such rows.
  const rows = packRows(examples, strategy, dataset.max_seq_length)
    .filter((row) => row.documents.some((document) => countExampleLabels(document) > 0));
  if (rows.length === 0) {
    throw new LoraFleetError(
      "invalid_dataset",
      `packed into rows of ${dataset.max_seq_length} tokens, no row has a token to train; raise dataset.max_seq_length`,
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

async function hashFile(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of readFile(path, () => {})) hash.update(chunk);
  return hash.digest("hex");
}

async function* readFile(path: string, onRead: (bytes: number) => void): AsyncGenerator<Uint8Array> {
  const unreadable = (cause: unknown) =>
    new LoraFleetError("storage", `cannot read the training file: ${messageOf(cause)}`, {
      param: "training_file",
      cause,
    });
  const file = await Deno.open(path).catch((cause) => {
    throw unreadable(cause);
  });
  try {
    let bytes = 0;
    for await (const chunk of file.readable) {
      onRead(bytes += chunk.length);
      yield chunk;
    }
  } catch (cause) {
    throw unreadable(cause);
  }
}
