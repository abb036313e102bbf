/** Parquet files, one row group after the other. */
import { brotliDecompressSync } from "node:zlib";
import {
  type Compressors,
  type FileMetaData,
  parquetMetadataAsync,
  parquetReadObjects,
  parquetSchema,
  type SchemaTree,
} from "hyparquet";
import { compressors as allCompressors } from "hyparquet-compressors";
import { LoraFleetError, messageOf, quote } from "../../errors.ts";
import { invalidRow, type Row } from "../rows/row.ts";
import type { DataBytes } from "./data_bytes.ts";
import { describeSchema, ParquetBytesError, TEXT_PARSERS, toPyValue } from "./parquet_values.ts";

export const PARQUET_MAGIC = "PAR1";

/**
 * hyparquet-compressors 1.1.2 reads an offset behind the end of an empty LZ4 block, and never ends in most damaged Brotli
 * streams.
 */
const compressors: Compressors = {
  ...allCompressors,
  LZ4_RAW: (input, length) => length === 0 ? new Uint8Array() : allCompressors.LZ4_RAW!(input, length),
  BROTLI: (input, length) =>
    new Uint8Array(brotliDecompressSync(input, { maxOutputLength: Math.max(1, length) })),
};

/**
 * Decoded at once: a row group of more bytes is read in several ranges of rows, for each of which the library reads the group
 * from its beginning.
 */
const MAX_RANGE_BYTES = 2 ** 27;

/** What is decoded in one go. */
export interface Decoding {
  /** "rows 1 to 40" */
  readonly what: string;
  /** What that decodes, columns together. */
  readonly bytes: number;
}

interface ParquetOptions {
  readonly maxRangeBytes?: number;
  /**
   * Is called before rows are decoded, and with null once they are. In one of some hundred damaged pages of the second version
   * the library does not end, or not before memory does: it believes in runs that are longer than the page, and in counts
   * below zero. Nothing in this process can interrupt it, so that whoever waits has to end the process.
   */
  readonly onDecode?: ((decoding: Decoding | null) => void) | undefined;
}

/** `line` is the number of the row. Throws a `LoraFleetError` with code `invalid_dataset`. */
export async function* readParquetRows(
  bytes: DataBytes,
  { maxRangeBytes = MAX_RANGE_BYTES, onDecode = () => {} }: ParquetOptions = {},
): AsyncGenerator<Row> {
  const metadata = await readMetadata(bytes);
  const schema = parquetSchema(metadata);
  const file = asyncBufferOf(bytes);
  for (const { bytes, ...range } of rangesOf(metadata, maxRangeBytes)) {
    const what = `rows ${range.rowStart + 1} to ${range.rowEnd}`;
    onDecode({ what, bytes });
    const rows = await parquetReadObjects({
      ...{ file, metadata, compressors, parsers: TEXT_PARSERS, utf8: false },
      ...range,
    }).catch((cause) => {
      throw unreadable(`${what}: ${messageOf(cause)}`, cause);
    }).finally(() => onDecode(null));
    for (const [index, row] of rows.entries()) yield toRow(range.rowStart + index + 1, row);
  }

  function toRow(line: number, row: Record<string, unknown>): Row {
    try {
      return {
        line,
        fields: new Map(schema.children.map((node) => {
          const { name } = node.element;
          return [name, toPyValue(row[name], node)];
        })),
      };
    } catch (thrown) {
      if (!(thrown instanceof ParquetBytesError)) throw thrown;
      throw invalidRow(
        "row",
        line,
        `has bytes in ${quote(thrown.path)}; leave that column out (columns: ${describeSchema(schema)})`,
      );
    }
  }
}

/** Row groups, and parts of those that are too large; `bytes` are those of the whole group. */
function* rangesOf(
  { row_groups }: FileMetaData,
  maxBytes: number,
): Generator<{ rowStart: number; rowEnd: number; bytes: number }> {
  let start = 0;
  for (const { num_rows, total_byte_size } of row_groups) {
    const end = start + Number(num_rows);
    const parts = Math.ceil(Number(total_byte_size) / maxBytes);
    const step = Math.max(1, Math.ceil(Number(num_rows) / Math.max(1, parts)));
    for (let from = start; from < end; from += step) {
      yield { rowStart: from, rowEnd: Math.min(end, from + step), bytes: Number(total_byte_size) };
    }
    start = end;
  }
}

/** The number of rows, from the file's footer. */
export async function countParquetRows(bytes: DataBytes): Promise<number> {
  return Number((await readMetadata(bytes)).num_rows);
}

/** The columns with their types, for errors. */
export async function parquetColumns(bytes: DataBytes): Promise<string> {
  return describeSchema(parquetSchema(await readMetadata(bytes)));
}

async function readMetadata(bytes: DataBytes): Promise<FileMetaData> {
  const end = bytes.size < 12 ? "" : new TextDecoder().decode(await bytes.slice(bytes.size - 4, bytes.size));
  if (end !== PARQUET_MAGIC) {
    throw unreadable(
      `it does not end with ${quote(PARQUET_MAGIC)}: it has ${bytes.size} bytes, and the end is missing`,
    );
  }
  try {
    const metadata = await parquetMetadataAsync(asyncBufferOf(bytes));
    assertColumns(metadata);
    return metadata;
  } catch (cause) {
    throw unreadable(`its footer is damaged: ${messageOf(cause)}`, cause);
  }
}

/**
 * Every row group has the schema's columns. The library would read a column that the schema lacks and leave its failure
 * unhandled.
 */
function assertColumns(metadata: FileMetaData): void {
  const leaves = (node: SchemaTree): string[] =>
    node.children.length === 0 ? [node.path.join(".")] : node.children.flatMap(leaves);
  const expected = parquetSchema(metadata).children.flatMap(leaves).join();
  for (const [index, { columns }] of metadata.row_groups.entries()) {
    const found = columns.map(({ meta_data }) => meta_data?.path_in_schema.join(".")).join();
    if (found !== expected) {
      throw new Error(
        `row group ${index + 1} has the columns ${quote(found)}, the schema ${quote(expected)}`,
      );
    }
  }
}

function asyncBufferOf(bytes: DataBytes) {
  return {
    byteLength: bytes.size,
    slice: async (from: number, to = bytes.size) =>
      (await bytes.slice(from, Math.min(to, bytes.size))).buffer,
  };
}

function unreadable(what: string, cause?: unknown): LoraFleetError {
  return new LoraFleetError("invalid_dataset", `cannot read the Parquet file: ${what}`, {
    param: "training_file",
    cause,
  });
}
