/** A file of JSON lines → the tokenised documents of a job, each within the longest length that it allows. */
import { LoraFleetError } from "../../errors.ts";
import type { DatasetSpec } from "../../job/job_spec_schema.ts";
import { boundTokenizer } from "./bounded_tokenizer.ts";
import { countExampleLabels, type Example, truncateExample } from "../packing/example.ts";
import { createExampleBuilder } from "./examples.ts";
import { invalidLine, type JsonRow, readJsonLines } from "../rows/jsonl.ts";
import { resolveSplit, type RowRange } from "../rows/split.ts";
import type { TokenBound } from "../tokenizer/token_bound.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";

interface Dataset {
  /** In the order of the file (and of the split's parts). */
  readonly examples: readonly Example[];
  readonly truncatedRowCount: number;
  readonly warnings: readonly string[];
}

/** Once a row is too long, the job is refused: so many further rows, or tokens, are read for the sake of the message. */
const LOOK_ON = { rows: 1000, tokens: 2 ** 18 };

/**
 * @param open opens the file; it is read twice if the split depends on the row count.
 * @param bound of the tokenizer: what is too long by it is not tokenised at all
 *
 * Throws a `LoraFleetError`: `invalid_dataset` that names the line, or says how many rows are too long;
 * `invalid_request` for a split that does not exist; `invalid_model` for a chat template that is needed and lacking.
 */
export async function readDataset(
  open: () => Promise<AsyncIterable<Uint8Array>>,
  spec: DatasetSpec,
  tokenizer: Tokenizer,
  signal?: AbortSignal,
  bound: TokenBound = () => 0,
): Promise<Dataset> {
  const lengths = createLengthLimit(spec);
  const bounded = boundTokenizer(tokenizer, bound, lengths.refusedAbove);
  const builder = createExampleBuilder(bounded.tokenizer, spec);
  const ranges = await rangesOf(open, spec.split);
  const examples: Example[] = [];
  let rowCount = 0;
  reading: for (const range of ranges) {
    let index = 0;
    for await (const row of readJsonLines(await open())) {
      signal?.throwIfAborted();
      if (index >= range.from && index < range.to) {
        rowCount++;
        const built = bounded.wholeRow(() => builder.build(row));
        if (typeof built === "number") lengths.exceeded(row, built);
        else examples.push(lengths.apply(row, { ...built, lines: [row.line] }));
        if (lengths.isDecided()) break reading;
      }
      index++;
    }
  }
  if (rowCount === 0) {
    throw new LoraFleetError(
      "invalid_dataset",
      spec.split === "train"
        ? "the dataset is empty; one JSON object a line is needed"
        : `dataset.split ${spec.split} has no rows`,
      { param: spec.split === "train" ? "training_file" : "dataset.split" },
    );
  }
  lengths.finish(rowCount);
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
  /** The longest was not tokenised. */
  let isBound = false;
  /** Rows and tokens since the first that is too long. */
  const seen = { rows: 0, tokens: 0 };
  const note = (line: number, length: number, byBound: boolean): void => {
    tooLong++;
    if (length > longest) [longest, longestLine, isBound] = [length, line, byBound];
  };
  return {
    /** Rows of more tokens are refused; Infinity if none are. */
    refusedAbove: spec.truncation === "refuse" ? limit : Infinity,
    exceeded({ line }: JsonRow, atLeast: number): void {
      if (tooLong > 0) seen.rows++;
      note(line, atLeast, true);
    },
    apply({ line }: JsonRow, example: Example): Example {
      const length = example.tokens.length;
      if (tooLong > 0) {
        seen.rows++;
        seen.tokens += length;
      }
      if (length <= limit) return example;
      note(line, length, false);
      if (spec.truncation === "refuse") return example;
      const cut = truncateExample(example, limit);
      if (countExampleLabels(cut) === 0) {
        throw invalidLine(
          line,
          `has ${length} tokens, and none of its first ${limit} (dataset.max_seq_length) is trained; raise that or ` +
            `shorten the row`,
        );
      }
      return cut;
    },
    /** Whether the job is refused whatever else the file holds. */
    isDecided: () =>
      spec.truncation === "refuse" && tooLong > 0 &&
      (seen.rows >= LOOK_ON.rows || seen.tokens >= LOOK_ON.tokens),
    finish(rows: number): void {
      if (tooLong === 0 || spec.truncation === "truncate") return;
      const ofRows = this.isDecided() ? `of the first ${rows}` : `of ${rows}`;
      throw new LoraFleetError(
        "invalid_dataset",
        `${tooLong} ${ofRows} rows are longer than dataset.max_seq_length (${limit} tokens); the longest, ` +
          `line ${longestLine}, has ${isBound ? "at least " : ""}${longest}. Raise it, or set ` +
          `dataset.truncation to "truncate" to cut them`,
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
