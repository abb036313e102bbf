/**
 * Slices of splits as the `datasets` library writes and computes them (datasets/arrow_reader.py): `train`,
 * `train[:10%]`, `train[100:200]`, `train[-5%:]`, sums with `+`.
 */
import { LoraFleetError, quote } from "../../errors.ts";

/** Rows [from, to) of a split. */
export interface RowRange {
  readonly split: string;
  readonly from: number;
  readonly to: number;
}

/** The rows of each split. */
export type SplitSizes = ReadonlyMap<string, number>;

const SUB_SPEC =
  /^(?<split>\w+(?:\.\w+)*)(?:\[(?:(?<from>-?[\d_]+)(?<fromPct>%)?)?:(?:(?<to>-?[\d_]+)(?<toPct>%)?)?\])?(?:\((?<rounding>[^)]*)\))?$/;

/** What `datasets` calls the split of files that name none. */
export const ONLY_SPLIT = "train";

/**
 * The ranges that a split names, in the order in which they are read. Boundaries beyond the rows are clamped, as in
 * `datasets`. Throws a `LoraFleetError` with code `invalid_request` for what `datasets` would refuse.
 */
export function resolveSplit(split: string, sizes: SplitSizes): RowRange[] {
  return partsOf(split).map((part) => resolvePart(part, split, sizes));
}

/** The split and nothing else, whose size need not be known; null for a slice or a sum. */
export function wholeSplit(split: string, names: readonly string[]): string | null {
  const sizes = new Map(names.map((name) => [name, Number.MAX_SAFE_INTEGER]));
  const [first, ...others] = resolveSplit(split, sizes);
  return others.length === 0 && split.trim() === first!.split ? first!.split : null;
}

/** What a boundary beyond the rows asks for, for a warning: `train[:200]` of 50 rows. */
export function beyondRows(split: string, sizes: SplitSizes): string | null {
  const beyond = partsOf(split).filter((part) => {
    const groups = SUB_SPEC.exec(part)!.groups!;
    const limit = sizes.get(groups["split"]!)!;
    const isBeyond = (text: string | undefined, percent: string | undefined) =>
      text !== undefined && percent === undefined && Math.abs(boundary(text, split)!) > limit;
    return isBeyond(groups["from"], groups["fromPct"]) || isBeyond(groups["to"], groups["toPct"]);
  });
  return beyond.length === 0 ? null : beyond.join("+");
}

const partsOf = (split: string) => split.trim().split(/\s*\+\s*/);

function resolvePart(part: string, split: string, sizes: SplitSizes): RowRange {
  const groups = SUB_SPEC.exec(part)?.groups;
  if (groups === undefined) {
    throw invalidSplit(
      split,
      `${quote(part)} is not understood; "train", "train[:10%]" or "train[100:200]" are`,
    );
  }
  const name = groups["split"]!;
  const rowCount = sizes.get(name);
  if (rowCount === undefined) {
    throw invalidSplit(split, `there is no split ${quote(name)}; ${knownSplits(sizes)}`);
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
  return {
    split: name,
    from: clamp(from === null ? 0 : toRows(from)),
    to: clamp(to === null ? rowCount : toRows(to)),
  };
}

function knownSplits(sizes: SplitSizes): string {
  const names = [...sizes.keys()];
  if (names.length === 1 && names[0] === ONLY_SPLIT) return `an uploaded file is "${ONLY_SPLIT}"`;
  return `the dataset has ${names.map(quote).join(", ")}`;
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
