/** The formats of data files: one record each, which recognition, reading and errors share. */
import { readJsonLines } from "../rows/jsonl.ts";
import type { Row, RowUnit } from "../rows/row.ts";
import { readCsvRows } from "./csv.ts";
import { type DataBytes, streamOf } from "./data_bytes.ts";
import { readJsonList } from "./json_list.ts";
import { countParquetRows, type Decoding, readParquetRows } from "./parquet.ts";
import { readTextRows, type SampleBy } from "./text.ts";

export const DATA_FORMATS = ["jsonl", "json", "csv", "tsv", "parquet", "text"] as const;
export type DataFormat = typeof DATA_FORMATS[number];

export interface ReadOptions {
  /** The field of a JSON object that holds the rows. */
  readonly field?: string | undefined;
  /** What a row of plain text is; lines if left out. */
  readonly sample_by?: SampleBy | undefined;
  /** Is called before rows are decoded that nothing in this process can interrupt, and with null once they are. */
  readonly onDecode?: ((decoding: Decoding | null) => void) | undefined;
}

interface FormatRecord {
  /** As a user knows it. */
  readonly name: string;
  /** Endings of file names. */
  readonly endings: readonly string[];
  readonly unit: RowUnit;
  read(bytes: DataBytes, options: ReadOptions): AsyncGenerator<Row>;
  /** Counts the rows without reading them. */
  readonly count?: (bytes: DataBytes) => Promise<number>;
}

export const FORMATS: Readonly<Record<DataFormat, FormatRecord>> = {
  jsonl: {
    name: "JSON lines",
    endings: ["jsonl", "ndjson"],
    unit: "line",
    read: (bytes) => readJsonLines(streamOf(bytes)),
  },
  json: {
    name: "JSON",
    endings: ["json"],
    unit: "row",
    read: (bytes, { field }) => readJsonList(bytes, field),
  },
  csv: { name: "CSV", endings: ["csv"], unit: "line", read: (bytes) => readCsvRows(bytes, ",") },
  tsv: { name: "TSV", endings: ["tsv", "tab"], unit: "line", read: (bytes) => readCsvRows(bytes, "\t") },
  parquet: {
    name: "Parquet",
    endings: ["parquet"],
    unit: "row",
    read: (bytes, { onDecode }) => readParquetRows(bytes, { onDecode }),
    count: countParquetRows,
  },
  text: {
    name: "plain text",
    endings: ["txt"],
    unit: "line",
    read: (bytes, { sample_by = "line" }) => readTextRows(bytes, sample_by),
  },
};

/** By the name's ending; null if it says nothing. */
export function formatOfName(name: string): DataFormat | null {
  const ending = name.slice(name.lastIndexOf(".") + 1).toLowerCase();
  return DATA_FORMATS.find((format) => FORMATS[format].endings.includes(ending)) ?? null;
}

/** ".jsonl, .ndjson, .json, …" */
export const KNOWN_ENDINGS: string = DATA_FORMATS.flatMap((format) => FORMATS[format].endings)
  .map((ending) => `.${ending}`).join(", ");
