/**
 * A dataset as one stream of rows, whatever its files are: an upload is one file, a dataset on a hub may be many, each of a
 * split.
 */
import { z } from "zod";
import { LoraFleetError, quote } from "../../errors.ts";
import { type DataBytes, openDataFile } from "./data_bytes.ts";
import { DATA_FORMATS, type DataFormat, formatOfName, FORMATS, type ReadOptions } from "./formats.ts";
import { recogniseFormat } from "./recognise.ts";
import type { Row, RowUnit } from "../rows/row.ts";
import { ONLY_SPLIT } from "../rows/split.ts";

/** A file on this machine that holds rows. */
export const dataFileSchema = z.strictObject({
  path: z.string(),
  /** As its owner knows it: its ending tells the format, and errors name it. */
  name: z.string(),
  /** The file is refused if it has changed since; null: not known. */
  sha256: z.string().nullable(),
  /** Left out: "train", which is what `datasets` calls files without a split. */
  split: z.string().optional(),
  /** Left out: recognised by name and content. */
  format: z.enum(DATA_FORMATS).optional(),
});
export type DataFile = z.output<typeof dataFileSchema>;

export interface RowSource {
  /** In the order of their first files. */
  readonly splits: readonly string[];
  /** What `Row.line` counts: with several files, rows are numbered through all files of their split. */
  readonly unit: RowUnit;
  /** Whether a row of an empty text is a blank line, and not a row to train on. */
  readonly hasBlankLines: boolean;
  /** May be read again. Throws a `LoraFleetError`: `invalid_dataset` that names the line (and file), `storage`. */
  rows(split: string): AsyncGenerator<Row>;
  /** As `rows`, but only counts, which for Parquet needs no row. */
  count(split: string): Promise<number>;
}

/** What a preparation depends on besides the bytes of a file. */
export function formatHint({ format, name, split = ONLY_SPLIT }: DataFile) {
  return { format: format ?? formatOfName(name), split };
}

interface OpenedFile extends DataFile {
  readonly format: DataFormat;
  readonly bytes: number;
}

/**
 * Recognises the files' formats. Throws a `LoraFleetError` for a file of none, and `storage` for one that cannot be read.
 * @param onRead called with the bytes of the split that are read so far, and how many it has
 */
export async function openRowSource(
  files: readonly DataFile[],
  options: ReadOptions,
  onRead: (bytes: number, totalBytes: number) => void = () => {},
): Promise<RowSource> {
  const opened: OpenedFile[] = [];
  for (const file of files) {
    using bytes = await openDataFile(file.path, describe(file, files.length > 1));
    const format = file.format ?? await recognise(file, bytes, options);
    opened.push({ ...file, format, bytes: bytes.size });
  }
  const ofSplit = (split: string) => opened.filter((file) => (file.split ?? ONLY_SPLIT) === split);
  return {
    splits: [...new Set(opened.map(({ split = ONLY_SPLIT }) => split))],
    unit: opened.length === 1 ? FORMATS[opened[0]!.format].unit : "row",
    hasBlankLines: opened.every(({ format }) => format === "text") &&
      (options.sample_by ?? "line") === "line",
    rows: (split) => readFiles(ofSplit(split), opened.length > 1, options, onRead),
    async count(split) {
      let count = 0;
      for (const file of ofSplit(split)) count += await countRows(file, opened.length > 1, options);
      return count;
    },
  };
}

async function recognise(file: DataFile, bytes: DataBytes, { field }: ReadOptions): Promise<DataFormat> {
  try {
    return await recogniseFormat(file.name, bytes, field !== undefined);
  } catch (thrown) {
    if (!(thrown instanceof LoraFleetError) || thrown.param !== "file") throw thrown;
    throw new LoraFleetError(thrown.code, thrown.message, { param: "training_file", cause: thrown.cause });
  }
}

async function* readFiles(
  files: readonly OpenedFile[],
  areSeveral: boolean,
  options: ReadOptions,
  onRead: (bytes: number, totalBytes: number) => void,
): AsyncGenerator<Row> {
  const totalBytes = files.reduce((sum, { bytes }) => sum + bytes, 0);
  let [number, before] = [0, 0];
  for (const file of files) {
    const read = (bytes: number) => onRead(before + bytes, totalBytes);
    for await (const row of readFile(file, areSeveral, options, read)) {
      yield areSeveral ? { ...row, line: ++number } : row;
    }
    before += file.bytes;
  }
}

async function* readFile(
  file: OpenedFile,
  areSeveral: boolean,
  options: ReadOptions,
  onRead: (bytes: number) => void,
): AsyncGenerator<Row> {
  using bytes = await openDataFile(file.path, describe(file, areSeveral), onRead);
  const { onDecode = () => {}, ...others } = options;
  const ofFile: ReadOptions = {
    ...others,
    onDecode: (decoding) =>
      onDecode(decoding && { ...decoding, what: `${decoding.what} of the file ${quote(file.name)}` }),
  };
  try {
    yield* FORMATS[file.format].read(bytes, ofFile);
  } catch (thrown) {
    throw areSeveral ? inFile(file.name, thrown) : thrown;
  }
}

async function countRows(
  file: OpenedFile,
  areSeveral: boolean,
  options: ReadOptions,
): Promise<number> {
  const { count } = FORMATS[file.format];
  if (count !== undefined) {
    using bytes = await openDataFile(file.path, describe(file, areSeveral));
    return await count(bytes);
  }
  let rows = 0;
  for await (const _ of readFile(file, areSeveral, options, () => {})) rows++;
  return rows;
}

function describe({ name }: DataFile, areSeveral: boolean): string {
  return areSeveral ? `the data file ${quote(name)}` : "the training file";
}

/** The error of one file among several. */
function inFile(name: string, thrown: unknown): unknown {
  if (!(thrown instanceof LoraFleetError) || thrown.code !== "invalid_dataset") return thrown;
  const message = `file ${quote(name)}: ${thrown.message}`;
  return new LoraFleetError(thrown.code, message, { param: thrown.param ?? "training_file", cause: thrown });
}
