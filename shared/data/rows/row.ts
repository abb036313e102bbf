/** A row of a dataset, whatever file it comes from, and the error that names it. */
import { LoraFleetError } from "../../errors.ts";
import type { PyValue } from "../../python/values/value.ts";

export interface Row {
  /** From 1: the line on which it begins, as an editor counts, or its number in a file that is not made of lines. */
  readonly line: number;
  /** In the file's order, with its numbers as it writes them. */
  readonly fields: ReadonlyMap<string, PyValue>;
}

/** What `Row.line` counts in a file. */
export type RowUnit = "line" | "row";

export function invalidLine(line: number, what: string, cause?: unknown): LoraFleetError {
  return invalidRow("line", line, what, cause);
}

export function invalidRow(unit: RowUnit, number: number, what: string, cause?: unknown): LoraFleetError {
  return new LoraFleetError("invalid_dataset", `dataset: ${unit} ${number} ${what}`, {
    param: `${unit} ${number}`,
    cause,
  });
}

/**
 * The error of `invalidLine` in the unit of its file: what reads a row's values need not know where the row comes from.
 */
export function inUnit(unit: RowUnit, thrown: unknown): unknown {
  const isOfLine = thrown instanceof LoraFleetError && thrown.param !== null &&
    /^line \d+$/.test(thrown.param);
  if (unit === "line" || !isOfLine) return thrown;
  const param = thrown.param!.replace("line", unit);
  const message = thrown.message.replace(`dataset: ${thrown.param} `, `dataset: ${param} `);
  return new LoraFleetError(thrown.code, message, { param, cause: thrown.cause });
}
