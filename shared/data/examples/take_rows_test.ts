import { assert, assertEquals, assertRejects } from "@std/assert";
import { pcg32 } from "../../prng.ts";
import type { Row } from "../rows/row.ts";
import type { RowNotes } from "./examples.ts";
import type { BuiltRow, BuiltRows, RowBuilder } from "./row_builder.ts";
import { type PlacedRow, takeRows } from "./take_rows.ts";

const NOTES: RowNotes = {
  seen: { rows: 0, observed: new Map(), lost: new Map() },
  ...{ columns: [], hasWeights: false, hasMessageWeights: false },
};

async function* rowsOf(
  count: number,
  { length = 1, unreadable = Infinity, read = (_: number) => {} } = {},
): AsyncGenerator<PlacedRow> {
  for (let line = 1; line <= count; line++) {
    if (line === unreadable) throw new Error(`line ${line} cannot be read`);
    read(line);
    yield { row: { line, fields: new Map([["text", "x".repeat(length)]]) }, places: [line - 1] };
  }
}

const built = ({ line }: Row, faulty: readonly number[]): BuiltRow =>
  faulty.includes(line)
    ? { kind: "fault", thrown: new Error(`line ${line} is faulty`) }
    : { kind: "too long", atLeast: line };

/** Answers runs of rows in an order of its own. */
function createElsewhere(lanes: number, faulty: readonly number[] = []) {
  const random = pcg32(7);
  const open: { rows: readonly Row[]; answer: (rows: BuiltRows) => void }[] = [];
  let [most, runs] = [0, 0];
  const answerOne = () => {
    const [{ rows, answer }] = open.splice(random.below(open.length), 1) as [typeof open[number]];
    const first = rows.findIndex(({ line }) => faulty.includes(line));
    const kept = first === -1 ? rows : rows.slice(0, first + 1);
    answer({
      built: kept.map((row) => built(row, faulty)),
      notes: { ...NOTES, columns: [`run ${rows[0]!.line}`] },
    });
  };
  return {
    lanes,
    most: () => most,
    runs: () => runs,
    build(rows: readonly Row[]): Promise<BuiltRows> {
      runs++;
      const { promise, resolve } = Promise.withResolvers<BuiltRows>();
      open.push({ rows, answer: resolve });
      most = Math.max(most, open.reduce((sum, run) => sum + run.rows.length, 0));
      queueMicrotask(answerOne);
      return promise;
    },
  };
}

interface Wanted {
  readonly elsewhere?: ReturnType<typeof createElsewhere>;
  readonly faulty?: readonly number[];
  readonly isOver?: (taken: readonly number[]) => boolean;
  readonly signal?: AbortSignal;
}

async function taken(rows: AsyncGenerator<PlacedRow>, wanted: Wanted = {}) {
  const { elsewhere, faulty = [], isOver = () => false, signal } = wanted;
  const [lines, notes]: [number[], string[]] = [[], []];
  const builder = {
    build: (row: Row) => built(row, faulty),
    addNotes: ({ columns }: RowNotes) => void notes.push(...columns),
  } as RowBuilder;
  await takeRows(rows, {
    ...{ builder, elsewhere, signal, isOver: () => isOver(lines) },
    take({ row, places }, made) {
      if (made.kind === "fault") throw made.thrown;
      assert(made.kind === "too long" && made.atLeast === row.line && places[0] === row.line - 1);
      lines.push(row.line);
    },
  });
  return { lines, notes };
}

const upTo = (count: number) => Array.from({ length: count }, (_, index) => index + 1);

Deno.test("rows that are built elsewhere, in any order, are taken in their own, and so are the notes", async () => {
  const elsewhere = createElsewhere(3);
  const { lines, notes } = await taken(rowsOf(3000), { elsewhere });
  assertEquals(lines, upTo(3000));
  assertEquals(notes.length, elsewhere.runs());
  assertEquals(notes, notes.toSorted((a, b) => Number(a.slice(4)) - Number(b.slice(4))));
  assert(elsewhere.runs() > 10, "one run has all rows");
});

Deno.test("few rows are on their way: two runs a lane and one, and of long rows as many characters", async () => {
  const readAhead = async (length: number, count: number, lanes: number) => {
    let [read, done, most] = [0, 0, 0];
    const rows = rowsOf(count, { length, read: (line) => read = line });
    await taken(rows, {
      elsewhere: createElsewhere(lanes),
      isOver(lines) {
        done = lines.length;
        most = Math.max(most, read - done);
        return false;
      },
    });
    return most;
  };
  assertEquals(await readAhead(1, 20_000, 2), (2 * 2 + 1) * 256);
  // A row of 2^20 characters is a run of its own.
  assert(await readAhead(2 ** 20, 60, 16) <= 18);
});

Deno.test("the first faulty row is the error, whatever comes after it", async () => {
  for (const faulty of [[1], [700, 300], [2999, 3000]]) {
    const message = `line ${Math.min(...faulty)} is faulty`;
    await assertRejects(() => taken(rowsOf(3000), { faulty }), Error, message);
    const elsewhere = createElsewhere(4, faulty);
    await assertRejects(() => taken(rowsOf(3000), { elsewhere }), Error, message);
  }
});

Deno.test("a row that cannot be read is an error once the rows before it are taken", async () => {
  const unreadable = () => rowsOf(3000, { unreadable: 1500 });
  for (const faulty of [[1499], []]) {
    const message = faulty.length > 0 ? "line 1499 is faulty" : "line 1500 cannot be read";
    await assertRejects(() => taken(unreadable(), { faulty }), Error, message);
    await assertRejects(() => taken(unreadable(), { elsewhere: createElsewhere(2, faulty) }), Error, message);
  }
});

Deno.test("after the end nothing is taken, nor read for long, nor an error", async () => {
  const isOver = (lines: readonly number[]) => lines.length >= 300;
  const behind = { unreadable: 600 };
  assertEquals((await taken(rowsOf(3000, behind), { isOver })).lines, upTo(300));
  const elsewhere = createElsewhere(2, [301, 400]);
  assertEquals((await taken(rowsOf(3000, behind), { isOver, elsewhere })).lines, upTo(300));
});

Deno.test("an abort ends it with its reason", async () => {
  for (const elsewhere of [undefined, createElsewhere(2)]) {
    const stop = new AbortController();
    const rows = rowsOf(3000, { read: (line) => line === 1000 && stop.abort(new Error("cancelled")) });
    const more = elsewhere === undefined ? {} : { elsewhere };
    await assertRejects(() => taken(rows, { ...more, signal: stop.signal }), Error, "cancelled");
  }
});
