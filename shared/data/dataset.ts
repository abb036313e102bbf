/** A file of JSON lines → the tokenised documents of a job, each within the longest length that it allows. */
import { LoraFleetError } from "../errors.ts";
import type { DatasetSpec } from "../job_spec.ts";
import { countTrained, type Example, truncateExample } from "./example.ts";
import { createExampleBuilder } from "./examples.ts";
import { invalidLine, type JsonRow, readJsonLines } from "./jsonl.ts";
import { resolveSplit, type RowRange } from "./split.ts";
import type { Tokenizer } from "./tokenizer.ts";

export interface Dataset {
  /** In the order of the file (and of the split's parts). */
  readonly examples: readonly Example[];
  readonly truncatedRowCount: number;
  readonly warnings: readonly string[];
}

/**
 * @param open opens the file; it is read once more where the split has to know how many rows there are.
 *
 * Throws a `LoraFleetError`: `invalid_dataset` that names the line, or says how many rows are too long;
 * `invalid_request` for a split that does not exist; `invalid_model` for a chat template that is needed and lacking.
 */
export async function readDataset(
  open: () => Promise<AsyncIterable<Uint8Array>>,
  spec: DatasetSpec,
  tokenizer: Tokenizer,
  signal?: AbortSignal,
): Promise<Dataset> {
  const builder = createExampleBuilder(tokenizer, spec);
  const lengths = createLengthLimit(spec);
  const ranges = await rangesOf(open, spec.split);
  const examples: Example[] = [];
  for (const range of ranges) {
    let index = 0;
    for await (const row of readJsonLines(await open())) {
      signal?.throwIfAborted();
      if (index >= range.from && index < range.to) {
        examples.push(lengths.apply(row, { ...builder.build(row), lines: [row.line] }));
      }
      index++;
    }
  }
  if (examples.length === 0) {
    throw new LoraFleetError(
      "invalid_dataset",
      spec.split === "train"
        ? "the dataset is empty; one JSON object a line is needed"
        : `dataset.split ${spec.split} has no rows`,
      { param: spec.split === "train" ? "training_file" : "dataset.split" },
    );
  }
  lengths.finish(examples.length);
  return {
    examples,
    truncatedRowCount: lengths.truncated(),
    warnings: [...builder.warnings(), ...lengths.warnings(examples.length)],
  };
}

async function rangesOf(open: () => Promise<AsyncIterable<Uint8Array>>, split: string): Promise<RowRange[]> {
  const [whole] = resolveSplit(split, Number.MAX_SAFE_INTEGER);
  if (split === "train") return [whole!];
  let count = 0;
  for await (const _ of readJsonLines(await open())) count++;
  return resolveSplit(split, count);
}

/** Cuts or counts rows that are too long. "wrapped" packing cuts its stream of tokens anyway and loses none. */
function createLengthLimit(spec: DatasetSpec) {
  const limit = spec.packing && spec.packing_strategy === "wrapped" ? Infinity : spec.max_seq_length;
  let tooLong = 0;
  let longest = 0;
  let longestLine = 0;
  return {
    apply({ line }: JsonRow, example: Example): Example {
      const length = example.tokens.length;
      if (length <= limit) return example;
      tooLong++;
      if (length > longest) [longest, longestLine] = [length, line];
      if (spec.truncation === "refuse") return example;
      const cut = truncateExample(example, limit);
      if (countTrained(cut) === 0) {
        throw invalidLine(
          line,
          `has ${length} tokens, and none of its first ${limit} (dataset.max_seq_length) is trained; raise that or ` +
            `shorten the row`,
        );
      }
      return cut;
    },
    finish(rows: number): void {
      if (tooLong === 0 || spec.truncation === "truncate") return;
      throw new LoraFleetError(
        "invalid_dataset",
        `${tooLong} of ${rows} rows are longer than dataset.max_seq_length (${limit} tokens); the longest, line ` +
          `${longestLine}, has ${longest}. Raise it, or set dataset.truncation to "truncate" to cut them`,
        { param: "dataset.max_seq_length" },
      );
    },
    truncated: () => tooLong,
    warnings: (rows: number): string[] =>
      tooLong === 0 ? [] : [
        `${tooLong} of ${rows} rows were cut to dataset.max_seq_length (${limit} tokens); the longest, line ` +
        `${longestLine}, had ${longest}.`,
      ],
  };
}
