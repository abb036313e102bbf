/** A dataset's rows → the tokenised documents of a job, each within the longest length that it allows. */
import { counted } from "../../counted.ts";
import { LoraFleetError } from "../../errors.ts";
import type { DatasetSpec } from "../../job/job_spec_schema.ts";
import { countExampleLabels, type Example, truncateExample } from "../packing/example.ts";
import type { ResponseNotFoundError } from "./responses.ts";
import { type BuiltRow, createRowBuilder, longestRow, type RowsSpec } from "./row_builder.ts";
import { type PlacedRow, type RowsElsewhere, takeRows } from "./take_rows.ts";
import type { RowSource } from "../files/data_files.ts";
import { inUnit, invalidLine, type Row, type RowUnit } from "../rows/row.ts";
import { selectRows } from "../files/selection.ts";
import type { TokenBound } from "../tokenizer/token_bound.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";

interface DatasetSummary {
  /** Places of the selection, those of rows that are left out among them. */
  readonly placeCount: number;
  readonly truncatedRowCount: number;
  readonly warnings: readonly string[];
}

interface ReadDatasetOptions {
  readonly source: RowSource;
  readonly spec: RowsSpec;
  readonly tokenizer: Tokenizer;
  readonly signal?: AbortSignal | undefined;
  /** Of the tokenizer: what is too long by it is not tokenised at all. */
  readonly bound?: TokenBound | undefined;
  /** Where the rows are built; left out: here, one after the other, with the same outcome. */
  readonly elsewhere?: RowsElsewhere | undefined;
  /**
   * Takes an example and its places in the selection, from 0; rows that are left out have places, too. They come in the order of the file, which is
   * that of the places unless rows are shuffled or slices summed.
   */
  readonly add: (places: readonly number[], example: Example) => void;
}

/** Once a row is too long, the job is refused: so many further rows, or tokens, are read for the sake of the message. */
const LOOK_ON = { rows: 1000, tokens: 2 ** 18 };

/**
 * Reads the rows once, and once more before that to count them if the selection depends on their number.
 *
 * Throws a `LoraFleetError`: `invalid_dataset` that names the line, or says how many rows are too long;
 * `invalid_request` for a split that does not exist; `invalid_model` for a chat template that is needed and lacking.
 */
export async function readDataset(options: ReadDatasetOptions): Promise<DatasetSummary> {
  const { source, spec, tokenizer, signal, bound = () => 0, elsewhere, add } = options;
  const { unit } = source;
  const lengths = createLengthLimit(spec, unit);
  const builder = createRowBuilder({ tokenizer, bound, spec, unit });
  const selection = await selectRows(source, spec);
  let [rowCount, blankLines, leftOut] = [0, 0, 0];
  let firstLeftOut: ResponseNotFoundError | null = null;
  const take = ({ row, places }: PlacedRow, built: BuiltRow): void => {
    rowCount += places.length;
    if (built.kind === "fault") throw inUnit(unit, built.thrown);
    if (built.kind === "no response") {
      leftOut += places.length;
      firstLeftOut ??= built.thrown;
    } else if (built.kind === "too long") lengths.exceeded(row, built.atLeast);
    else {
      const { example } = built;
      add(places, inUnitOf(unit, () => lengths.apply(row, { ...example, lines: [row.line] })));
    }
  };
  const read = async function* (): AsyncGenerator<PlacedRow> {
    for (const part of selection.parts) {
      let index = 0;
      for await (const row of source.rows(part.split)) {
        const places = part.placesOf(index++);
        const isBlank = source.hasBlankLines && row.fields.get("text") === "";
        if (isBlank) blankLines += places.length;
        else if (places.length > 0) yield { row, places };
        if (index >= part.end) break;
      }
    }
  };
  await takeRows(read(), { builder, elsewhere, take, isOver: lengths.isDecided, signal });
  if (rowCount === 0) throw noRows(spec, blankLines);
  if (leftOut === rowCount) throw inUnit(unit, firstLeftOut);
  lengths.finish(rowCount);
  builder.finish();
  const warnings = [...selection.warnings, ...builder.warnings(), ...lengths.warnings(rowCount)];
  if (blankLines > 0) {
    warnings.push(
      `${counted(blankLines, "blank line")} of the text ${blankLines === 1 ? "is" : "are"} left out.`,
    );
  }
  return { placeCount: rowCount + blankLines, truncatedRowCount: lengths.truncated(), warnings };
}

function inUnitOf<T>(unit: RowUnit, body: () => T): T {
  try {
    return body();
  } catch (thrown) {
    throw inUnit(unit, thrown);
  }
}

function noRows({ split }: DatasetSpec, blankLines: number): LoraFleetError {
  const param = split === "train" ? "training_file" : "dataset.split";
  const what = blankLines > 0
    ? "the dataset has nothing but blank lines"
    : split === "train"
    ? "the dataset is empty; rows are needed"
    : `dataset.split ${split} has no rows`;
  return new LoraFleetError("invalid_dataset", what, { param });
}

/** Cuts or counts rows that are too long. */
function createLengthLimit(spec: DatasetSpec, unit: RowUnit) {
  const limit = longestRow(spec);
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
    exceeded({ line }: Row, atLeast: number): void {
      if (tooLong > 0) seen.rows++;
      note(line, atLeast, true);
    },
    apply({ line }: Row, example: Example): Example {
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
          `${unit} ${longestLine}, has ${isBound ? "at least " : ""}${longest}. Raise it, or set ` +
          `dataset.truncation to "truncate" to cut them`,
        { param: "dataset.max_seq_length" },
      );
    },
    truncated: () => tooLong,
    warnings: (rows: number): string[] =>
      tooLong === 0 ? [] : [
        `${tooLong} of ${rows} rows were cut to dataset.max_seq_length (${limit} tokens); the longest, ${unit} ` +
        `${longestLine}, had ${longest}.`,
      ],
  };
}
