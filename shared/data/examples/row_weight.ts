/** The weight of a row in the loss, from the column that `dataset.weight_field` names. */
import { LoraFleetError, quote } from "../../errors.ts";
import { quoteValue } from "../rows/quote_value.ts";
import { invalidLine, type Row } from "../rows/row.ts";

const MAX_WEIGHT = 1000;
/** Numbers of CSV files are texts. */
const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/;

export interface RowWeights {
  /** In f32; 1 for a row without one. Throws `invalid_dataset` for what is no number above 0 and at most 1000. */
  of(row: Row): number;
  /** Whether a row had the column. */
  isFound(): boolean;
  /** A row that others read had it. */
  setFound(): void;
  /** After the last row. Throws `invalid_dataset` if no row had the column. */
  finish(): void;
}

/** @param field undefined: no row has a weight */
export function createRowWeights(field: string | undefined): RowWeights {
  let isFound = false;
  return {
    of({ line, fields }) {
      const value = field === undefined ? null : fields.get(field) ?? null;
      if (value === null) return 1;
      isFound = true;
      const isNumber = typeof value === "number" || typeof value === "bigint" ||
        (typeof value === "string" && NUMBER.test(value.trim()));
      const weight = isNumber ? Math.fround(Number(value)) : NaN;
      if (weight > 0 && weight <= MAX_WEIGHT) return weight;
      const hint = weight === 0 ? "; leave out a row that is not to be trained on" : "";
      throw invalidLine(
        line,
        `has the ${quote(field)} ${quoteValue(value)} (dataset.weight_field); a number above 0 and at most ` +
          `${MAX_WEIGHT} is needed${hint}`,
      );
    },
    isFound: () => isFound,
    setFound: () => isFound = true,
    finish() {
      if (field === undefined || isFound) return;
      const message =
        `dataset.weight_field is ${
          quote(field)
        }, but no row has that column; leave it out or name the column ` +
        "of the rows' weights";
      throw new LoraFleetError("invalid_dataset", message, { param: "dataset.weight_field" });
    },
  };
}
