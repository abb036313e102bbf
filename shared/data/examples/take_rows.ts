/**
 * Rows are built and taken in their order: here one by one, or elsewhere, such as in a pool of threads, several runs of them at a
 * time. What comes of them is the same.
 */
import type { PyValue } from "../../python/values/value.ts";
import type { Row } from "../rows/row.ts";
import type { BuiltRow, BuiltRows, RowBuilder } from "./row_builder.ts";

export interface RowsElsewhere {
  /** How many runs are built at the same time. */
  readonly lanes: number;
  /** As `buildRows` of row_builder.ts. */
  build(rows: readonly Row[]): Promise<BuiltRows>;
}

/** A row and its places in the selection. */
export interface PlacedRow {
  readonly row: Row;
  readonly places: readonly number[];
}

interface TakeRowsOptions {
  /** Builds the rows, or has the notes of those that are built elsewhere. */
  readonly builder: RowBuilder;
  readonly elsewhere: RowsElsewhere | undefined;
  readonly take: (placed: PlacedRow, built: BuiltRow) => void;
  /** No further row is taken. */
  readonly isOver: () => boolean;
  readonly signal: AbortSignal | undefined;
}

/** Some 10 ms of work: a message costs a hundredth of that. */
const RUN = { rows: 256, characters: 2 ** 17 };
/** Runs that wait for each lane, so that none is idle while the rows of others are taken. */
const RUNS_A_LANE = 2;
/** A row may be as long as 64 MiB: so much is on its way at most, if it is more than one run. */
const MAX_CHARACTERS = 2 ** 24;

interface Run {
  readonly rows: readonly PlacedRow[];
  readonly characters: number;
  readonly result: Promise<BuiltRows>;
}

/** Throws what `take` throws, and what `rows` throw once those before are taken. */
export async function takeRows(rows: AsyncGenerator<PlacedRow>, options: TakeRowsOptions): Promise<void> {
  const { builder, elsewhere, take, isOver, signal } = options;
  if (elsewhere !== undefined) return await takeFromElsewhere(rows, { ...options, elsewhere });
  for await (const placed of rows) {
    signal?.throwIfAborted();
    take(placed, builder.build(placed.row));
    if (isOver()) break;
  }
}

async function takeFromElsewhere(
  rows: AsyncGenerator<PlacedRow>,
  { builder, elsewhere, take, isOver, signal }: TakeRowsOptions & { readonly elsewhere: RowsElsewhere },
): Promise<void> {
  const underWay: Run[] = [];
  let characters = 0;
  const send = (run: readonly PlacedRow[], characters: number): void => {
    const result = elsewhere.build(run.map(({ row }) => row));
    // Nobody waits for what comes after an error, or after the end.
    result.catch(() => {});
    underWay.push({ rows: run, characters, result });
  };
  const takeOldest = async (): Promise<void> => {
    const run = underWay.shift()!;
    const { built, notes } = await run.result;
    signal?.throwIfAborted();
    characters -= run.characters;
    for (const [index, made] of built.entries()) {
      if (isOver()) return;
      take(run.rows[index]!, made);
    }
    builder.addNotes(notes);
  };
  const isFull = () =>
    underWay.length > RUNS_A_LANE * elsewhere.lanes || (characters > MAX_CHARACTERS && underWay.length > 1);
  let unreadable: { readonly thrown: unknown } | null = null;
  for await (const { failed, ...run } of runsOf(rows)) {
    unreadable = failed;
    characters += run.characters;
    if (run.rows.length > 0) send(run.rows, run.characters);
    while (isFull() && !isOver()) await takeOldest();
    if (isOver()) return;
  }
  while (underWay.length > 0 && !isOver()) await takeOldest();
  if (unreadable !== null && !isOver()) throw unreadable.thrown;
}

interface ReadRun {
  readonly rows: PlacedRow[];
  readonly characters: number;
  /** What ended the reading after these rows. */
  readonly failed: { readonly thrown: unknown } | null;
}

async function* runsOf(rows: AsyncGenerator<PlacedRow>): AsyncGenerator<ReadRun> {
  let run: PlacedRow[] = [];
  let characters = 0;
  let failed: ReadRun["failed"] = null;
  try {
    for await (const placed of rows) {
      run.push(placed);
      characters += charactersOf(placed.row);
      if (run.length < RUN.rows && characters < RUN.characters) continue;
      yield { rows: run, characters, failed: null };
      [run, characters] = [[], 0];
    }
  } catch (thrown) {
    failed = { thrown };
  }
  yield { rows: run, characters, failed };
}

/** About as many as the row's line has. */
function charactersOf({ fields }: Row): number {
  let sum = 0;
  for (const value of fields.values()) sum += charactersIn(value);
  return sum;
}

function charactersIn(value: PyValue): number {
  if (typeof value === "string") return value.length;
  if (Array.isArray(value)) return value.reduce((sum: number, item) => sum + charactersIn(item), 0);
  if (!(value instanceof Map)) return 8;
  let sum = 0;
  for (const [key, item] of value) sum += key.length + charactersIn(item);
  return sum;
}
