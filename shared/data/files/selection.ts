/** Which rows of a dataset are trained on, and in which order: a split's slices, of rows that were shuffled before. */
import { LoraFleetError } from "../../errors.ts";
import type { RowSource } from "./data_files.ts";
import { shuffledOrder } from "../rows/shuffled_order.ts";
import { beyondRows, resolveSplit, type RowRange, wholeSplit } from "../rows/split.ts";

export interface SelectionSpec {
  readonly split: string;
  /** Rows are shuffled by it before they are sliced; left out: the files' order. */
  readonly shuffle_seed?: number | undefined;
}

/** A part of the selection that lies within one split. */
export interface SelectedSplit {
  readonly split: string;
  /** The places in the dataset to be trained on that the split's row of this index takes: none, one, or several in a sum. */
  placesOf(index: number): readonly number[];
  /** No row from this index on is selected. */
  readonly end: number;
}

export interface Selection {
  /** Each split once, in the order in which the selection names them. */
  readonly parts: readonly SelectedSplit[];
  /** How many places there are; Infinity if the rows were not counted. */
  readonly size: number;
  readonly warnings: readonly string[];
}

/**
 * Counts the rows only where the selection depends on it. Throws a `LoraFleetError`: `invalid_request` for a split that
 * does not exist, `invalid_dataset` for a slice without rows.
 */
export async function selectRows(
  source: RowSource,
  { split, shuffle_seed }: SelectionSpec,
): Promise<Selection> {
  const whole = wholeSplit(split, source.splits);
  if (whole !== null && shuffle_seed === undefined) {
    const part = { split: whole, placesOf: (index: number) => [index], end: Infinity };
    return { parts: [part], size: Infinity, warnings: [] };
  }
  const sizes = new Map(source.splits.map((name) => [name, 0]));
  // Names alone, for an error before anything is read.
  for (const { split: name } of resolveSplit(split, new Map(source.splits.map((name) => [name, 1000])))) {
    if (sizes.get(name) === 0) sizes.set(name, await source.count(name));
  }
  const ranges = resolveSplit(split, sizes);
  const size = ranges.reduce((sum, { from, to }) => sum + Math.max(0, to - from), 0);
  if (size === 0) throw noRows(split, sizes);
  const beyond = beyondRows(split, sizes);
  const has = [...sizes].filter(([, rows]) => rows > 0).map(([name, rows]) => `${rows} in ${name}`).join(
    ", ",
  );
  return {
    parts: partsOf(ranges, sizes, shuffle_seed),
    size,
    warnings: beyond === null
      ? []
      : [`dataset.split ${beyond} reaches beyond the rows (${has}): there are no more.`],
  };
}

function partsOf(
  ranges: readonly RowRange[],
  sizes: ReadonlyMap<string, number>,
  seed: number | undefined,
): SelectedSplit[] {
  const placed: (RowRange & { readonly firstPlace: number })[] = [];
  let firstPlace = 0;
  for (const range of ranges) {
    if (range.to <= range.from) continue;
    placed.push({ ...range, firstPlace });
    firstPlace += range.to - range.from;
  }
  return [...new Set(placed.map(({ split }) => split))].map((split) => {
    const own = placed.filter((range) => range.split === split);
    const rank = seed === undefined ? null : ranksOf(shuffledOrder(seed, sizes.get(split)!));
    return {
      split,
      end: rank === null ? Math.max(...own.map(({ to }) => to)) : sizes.get(split)!,
      placesOf(index) {
        const position = rank === null ? index : rank[index]!;
        return own.filter(({ from, to }) => position >= from && position < to)
          .map(({ from, firstPlace }) => firstPlace + position - from);
      },
    };
  });
}

/** From the row at each position to the position of each row. */
function ranksOf(order: Uint32Array): Uint32Array {
  const ranks = new Uint32Array(order.length);
  order.forEach((row, position) => ranks[row] = position);
  return ranks;
}

function noRows(split: string, sizes: ReadonlyMap<string, number>): LoraFleetError {
  const has = [...sizes].map(([name, rows]) => `${name} has ${rows}`).join(", ");
  return new LoraFleetError("invalid_dataset", `dataset.split ${split} has no rows: ${has}`, {
    param: "dataset.split",
  });
}
