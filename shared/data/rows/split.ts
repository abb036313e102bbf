/**
 * Slices of a split as the `datasets` library writes and computes them (datasets/arrow_reader.py): `train`,
 * `train[:10%]`, `train[100:200]`, `train[-5%:]`, sums with `+`.
 */
import { LoraFleetError, quote } from "../../errors.ts";

/** Rows [from, to). */
export interface RowRange {
  readonly from: number;
  readonly to: number;
}

const SUB_SPEC =
  /^(?<split>\w+(?:\.\w+)*)(?:\[(?:(?<from>-?[\d_]+)(?<fromPct>%)?)?:(?:(?<to>-?[\d_]+)(?<toPct>%)?)?\])?(?:\((?<rounding>[^)]*)\))?$/;

/** An uploaded file is one split, which `datasets` calls "train". */
const ONLY_SPLIT = "train";

/**
 * The ranges that a split names out of `rowCount` rows, in the order in which they are read.
 * Throws a `LoraFleetError` with code `invalid_request` for what `datasets` would refuse.
 */
export function resolveSplit(split: string, rowCount: number): RowRange[] {
  return split.split(/\s*\+\s*/).map((part) => resolvePart(part, split, rowCount));
}

function resolvePart(part: string, split: string, rowCount: number): RowRange {
  const groups = SUB_SPEC.exec(part)?.groups;
  if (groups === undefined) {
    throw invalidSplit(
      split,
      `${quote(part)} is not understood; "train", "train[:10%]" or "train[100:200]" are`,
    );
  }
  if (groups["split"] !== ONLY_SPLIT) {
    throw invalidSplit(
      split,
      `there is no split ${quote(groups["split"])}; an uploaded file is "${ONLY_SPLIT}"`,
    );
  }
  const from = boundary(groups["from"], split);
  const to = boundary(groups["to"], split);
  const percent = groups["fromPct"] !== undefined || groups["toPct"] !== undefined;
  if (!percent && groups["rounding"] !== undefined) {
    throw invalidSplit(split, "a rounding is for percentages only");
  }
  const toRows = percent
    ? percentRounding(groups["rounding"] ?? "closest", split, rowCount)
    : (rows: number) => rows;
  if (percent && [from, to].some((value) => value !== null && Math.abs(value) > 100)) {
    throw invalidSplit(split, "a percentage is beyond 100%");
  }
  const clamp = (rows: number) => rows < 0 ? Math.max(rowCount + rows, 0) : Math.min(rows, rowCount);
  return { from: clamp(from === null ? 0 : toRows(from)), to: clamp(to === null ? rowCount : toRows(to)) };
}

/** Python's int(): single underscores between digits are allowed. */
function boundary(text: string | undefined, split: string): number | null {
  if (text === undefined) return null;
  if (!/^-?\d+(_\d+)*$/.test(text)) throw invalidSplit(split, `${quote(text)} is not a whole number`);
  return Number(text.replaceAll("_", ""));
}

function percentRounding(rounding: string, split: string, rowCount: number): (percent: number) => number {
  if (rounding === "closest") return (percent) => roundHalfToEven(percent * rowCount / 100);
  if (rounding !== "pct1_dropremainder") {
    throw invalidSplit(split, `${quote(rounding)} is no rounding; "closest" and "pct1_dropremainder" are`);
  }
  if (rowCount < 100) {
    throw invalidSplit(split, `"pct1_dropremainder" needs at least 100 rows, but there are ${rowCount}`);
  }
  return (percent) => percent * Math.trunc(rowCount / 100);
}

/** Python's round(): a half goes to the even neighbour. */
function roundHalfToEven(value: number): number {
  const floor = Math.floor(value);
  const even = floor % 2 === 0 ? floor : floor + 1;
  return (value - floor === 0.5 ? even : Math.round(value)) + 0; // + 0 makes −0 into 0
}

function invalidSplit(split: string, what: string): LoraFleetError {
  return new LoraFleetError("invalid_request", `dataset.split is ${quote(split)}: ${what}`, {
    param: "dataset.split",
  });
}
