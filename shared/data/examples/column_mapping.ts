/** `dataset.column_mapping`: what a file calls the columns that the forms of rows know by their own names. */
import { LoraFleetError, quote } from "../../errors.ts";
import { nearestName } from "../../std/nearest_name.ts";
import type { PyValue } from "../../python/values/value.ts";
import type { Row } from "../rows/row.ts";

export interface ColumnMapping {
  /** Names of forms that the user has mapped. */
  readonly mapped: ReadonlySet<string>;
  /** The row with its columns renamed; a column of the file that had such a name by itself is left out. */
  rename(row: Row): Row;
  /** What to add to the error of a row that has no form: a column that the mapping takes and the row lacks is the likely cause. */
  hint(row: Row): string;
  /** Columns that were new since the last call, in their order; none once all of the mapping's have come. */
  takeColumns(): string[];
  /** Columns of rows that others renamed. */
  addColumns(columns: readonly string[]): void;
  /** Throws a `LoraFleetError` with code `invalid_dataset` for a column that no row has had. */
  finish(): void;
}

/** @param mapping from the forms' names to the file's */
export function createColumnMapping(
  mapping: Readonly<Record<string, string | undefined>> = {},
): ColumnMapping {
  const pairs = Object.entries(mapping).filter((pair): pair is [string, string] => pair[1] !== undefined);
  const names = new Set(pairs.map(([name]) => name));
  const sources = new Set(pairs.map(([, source]) => source));
  const missing = new Map(pairs.map(([name, source]) => [source, name]));
  const columns = new Set<string>();
  let taken = 0;
  const see = (column: string): void => {
    columns.add(column);
    missing.delete(column);
  };
  return {
    mapped: names,
    rename(row) {
      if (pairs.length === 0) return row;
      if (missing.size > 0) {
        for (const column of row.fields.keys()) see(column);
      }
      const kept = [...row.fields].filter(([column]) => !sources.has(column) && !names.has(column));
      const renamed = pairs.filter(([, source]) => row.fields.has(source))
        .map(([name, source]): [string, PyValue] => [name, row.fields.get(source)!]);
      return { line: row.line, fields: new Map([...renamed, ...kept]) };
    },
    hint({ fields }) {
      if (pairs.length === 0) return "; dataset.column_mapping renames columns";
      const absent = pairs.find(([, source]) => !fields.has(source));
      if (absent === undefined) return " (after dataset.column_mapping)";
      const [name, source] = absent;
      const meant = nearestName(source, [...fields.keys()]);
      return `: dataset.column_mapping takes ${quote(name)} from ${
        quote(source)
      }, which the row does not have` +
        (meant === null ? "" : `; did you mean ${quote(meant)}?`);
    },
    takeColumns() {
      const fresh = [...columns].slice(taken);
      taken = columns.size;
      return fresh;
    },
    addColumns: (others) => others.forEach(see),
    finish() {
      const [first] = missing;
      if (first === undefined) return;
      const [source, name] = first;
      throw new LoraFleetError(
        "invalid_dataset",
        `dataset.column_mapping takes ${quote(name)} from the column ${
          quote(source)
        }, which no row has; the columns are ` +
          [...columns].slice(0, 20).map(quote).join(", "),
        { param: "dataset.column_mapping" },
      );
    },
  };
}
