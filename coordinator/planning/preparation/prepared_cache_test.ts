import { assert, assertEquals, assertThrows } from "@std/assert";
import { LoraFleetError } from "../../../shared/errors.ts";
import { createFakeClock } from "../../../shared/testing/fake_clock.ts";
import { flattenRows, heldRows, type PackedRows, rowAt, streamRows } from "./packed_rows.ts";
import { type LoadedRows, openPreparedCache, type PreparedCache, writePrepared } from "./prepared_cache.ts";
import { turnOfEventLoop } from "../../../shared/std/turn.ts";
import { type DatasetReport, encodePrepared, readPrepared } from "./prepared_file.ts";

const document = (length: number) => ({
  tokens: Uint32Array.from({ length }, (_, i) => 7 * i),
  completionMask: Uint8Array.from({ length }, (_, i) => i % 2),
  lines: [length, length + 1],
});
const prepared: { readonly rows: PackedRows; readonly report: DatasetReport } = {
  rows: flattenRows([{ documents: [document(3), document(5)] }, { documents: [document(2)] }]),
  report: {
    ...{ exampleCount: 3, rowCount: 2, tokenCount: 10, trainedTokenCount: 4, truncatedRowCount: 0 },
    ...{ longestDocument: 5, packingEfficiency: 0.625, warnings: ["Mind the gap."] },
    masks: [{ line: 3, segments: [{ text: "a", trained: false }], hidden_tokens: 0 }],
  },
};
const stream = { ...prepared, rows: streamRows(prepared.rows) };

/** What was loaded, all of it in memory. */
function contentOf({ report, rows: { slice, ...index } }: LoadedRows) {
  return { report, rows: { ...index, ...slice(0, index.documentStarts.at(-1)!) } };
}

async function withCache(
  body: (cache: PreparedCache, folder: string, advance: (ms: number) => Promise<void>) => Promise<void>,
  maxBytes?: number,
): Promise<void> {
  const folder = `${await Deno.makeTempDir()}/prepared`;
  const clock = createFakeClock();
  try {
    const cache = await openPreparedCache(folder, clock, maxBytes);
    await body(cache, folder, (ms) => clock.advance(ms));
  } finally {
    await Deno.remove(folder.slice(0, folder.lastIndexOf("/")), { recursive: true });
  }
}

Deno.test("prepared rows are read as they were written, and their report alone", () =>
  withCache(async (cache) => {
    assertEquals([await cache.report("k"), await cache.load("k")], [null, null]);
    await writePrepared(cache.pathOf("k"), "k", stream);
    assertEquals(await cache.report("k"), prepared.report);
    using loaded = (await cache.load("k"))!;
    assertEquals(contentOf(loaded), prepared);
    assertEquals(rowAt(loaded.rows, 1).documents, [document(2)]);
  }));

Deno.test("rows with weights are read as they were written, and rows without them take no more bytes", () =>
  withCache(async (cache) => {
    const weightSpans = [{ start: 0, end: 2, weight: 0.75 }];
    const weighted = {
      ...prepared,
      rows: flattenRows([{ documents: [document(3), { ...document(5), weight: 2.5 }] }, {
        documents: [{ ...document(2), weightSpans }],
      }]),
    };
    await writePrepared(cache.pathOf("k"), "k", { ...weighted, rows: streamRows(weighted.rows) });
    await writePrepared(cache.pathOf("plain"), "plain", stream);
    using loaded = (await cache.load("k"))!;
    assertEquals(contentOf(loaded), weighted);
    assertEquals(rowAt(loaded.rows, 0).documents.map(({ weight }) => weight), [1, 2.5]);
    assertEquals(rowAt(loaded.rows, 1).documents[0]!.weightSpans, weightSpans);
    assertEquals(rowAt(loaded.rows, 0).documents[0]!.weightSpans, undefined);
    using plain = (await cache.load("plain"))!;
    for (const name of ["documentWeights", "weightSpans"]) {
      assertEquals(Object.hasOwn(plain.rows, name), false);
    }
  }));

Deno.test(
  "only their owner can read prepared rows",
  { ignore: Deno.build.os === "windows" },
  () =>
    withCache(async (cache, folder) => {
      await writePrepared(cache.pathOf("k"), "k", stream);
      const modeOf = async (path: string) => ((await Deno.stat(path)).mode! & 0o777).toString(8);
      assertEquals([await modeOf(folder), await modeOf(cache.pathOf("k"))], ["700", "600"]);
    }),
);

Deno.test("a file that is damaged, cut, longer, or of a different key counts as absent and is removed", () =>
  withCache(async (cache) => {
    const path = cache.pathOf("k");
    await writePrepared(path, "k", stream);
    const whole = await Deno.readFile(path);
    const spoilt = [
      ...Array.from({ length: whole.length }, (_, at) => {
        const bytes = whole.slice();
        bytes[at]! ^= 1;
        return bytes;
      }),
      whole.subarray(0, -1),
      whole.subarray(0, 20),
      new Uint8Array([...whole, 0]),
      new Uint8Array(),
      new Uint8Array(100).fill(255),
    ];
    for (const bytes of spoilt) {
      await Deno.writeFile(path, bytes);
      assertEquals(await cache.load("k"), null);
      await assertGone(path);
    }
    await Deno.writeFile(path, whole.with(20, whole[20]! ^ 1));
    assertEquals(await cache.report("k"), null);
    await writePrepared(path, "other", stream);
    assertEquals([await cache.report("k"), await cache.load("k")], [null, null]);
  }));

Deno.test("the least recently used file is removed first, the newest never", async () => {
  let size = 0;
  await withCache(async (cache) => {
    await writePrepared(cache.pathOf("a"), "a", stream);
    size = (await Deno.stat(cache.pathOf("a"))).size;
  });
  await withCache(async (cache, _folder, advance) => {
    for (const key of ["a", "b", "c"]) {
      await writePrepared(cache.pathOf(key), key, stream);
      (await cache.load(key))![Symbol.dispose]();
      await advance(10_000);
    }
    (await cache.load("a"))![Symbol.dispose]();
    await cache.trim("c");
    const there = await Promise.all(["a", "b", "c"].map(async (key) => await cache.report(key) !== null));
    assertEquals(there, [true, false, true]);
    await cache.clear("a");
    assertEquals([await cache.report("a") !== null, await cache.report("c") !== null], [true, false]);
  }, 2 * size);
  await withCache(async (cache) => {
    await writePrepared(cache.pathOf("a"), "a", stream);
    await cache.trim("a");
    assert(await cache.report("a") !== null, "larger than the bound, and the only one");
  }, 1);
});

Deno.test("rows that a job reads are neither trimmed nor cleared until it lets go of them", () =>
  withCache(async (cache) => {
    for (const key of ["a", "b"]) await writePrepared(cache.pathOf(key), key, stream);
    const isThere = async () => await cache.report("a") !== null;
    const first = (await cache.load("a"))!;
    const second = (await cache.load("a"))!;
    first[Symbol.dispose]();
    first[Symbol.dispose]();
    await cache.trim("b");
    await cache.clear("b");
    assertEquals([await isThere(), rowAt(second.rows, 1).documents], [true, [document(2)]]);
    second[Symbol.dispose]();
    await cache.clear("b");
    assertEquals(await isThere(), false);
  }, 1));

Deno.test("rows larger than a block are read as they were written, and what changes meanwhile is an error", () =>
  withCache(async (cache) => {
    const long = flattenRows([3, 9000, 20_000, 1, 5000].map((length) => ({ documents: [document(length)] })));
    await writePrepared(cache.pathOf("k"), "k", { ...prepared, rows: streamRows(long) });
    using loaded = (await cache.load("k"))!;
    assertEquals(contentOf(loaded), { ...prepared, rows: long });
    for (const row of [4, 2, 0, 1, 3, 2]) {
      assertEquals(rowAt(loaded.rows, row), rowAt(heldRows(long), row), `row ${row}`);
    }
    using file = await Deno.open(cache.pathOf("k"), { write: true });
    // Within the tokens of the third row: those of the others are the same as before.
    await file.seek(4 * (3 + 9000 + 10_000), Deno.SeekMode.Start);
    await file.write(new Uint8Array(64));
    const error = assertThrows(() => rowAt(loaded.rows, 2), LoraFleetError, "have changed");
    assertEquals(error.code, "storage");
    assertEquals(rowAt(loaded.rows, 0), rowAt(heldRows(long), 0));
    assertEquals(rowAt(loaded.rows, 4), rowAt(heldRows(long), 4));
    await file.truncate(1000);
    assertThrows(() => rowAt(loaded.rows, 4), LoraFleetError, "shorter than it was");
  }));

Deno.test("opening the cache removes files that an earlier process left unfinished", () =>
  withCache(async (_cache, folder) => {
    const part = `${folder}/x.rows.1234.part`;
    await Deno.writeTextFile(part, "half");
    await openPreparedCache(folder, createFakeClock());
    await assertGone(part);
  }));

async function assertGone(path: string): Promise<void> {
  assertEquals(await Deno.stat(path).then(() => "there", () => "gone"), "gone");
}

Deno.test("others have their turn while prepared rows are read, even if no read has to wait", async () => {
  const rows = flattenRows([{ documents: [document(500_000)] }]);
  const parts = [...encodePrepared("k", { ...prepared, rows: streamRows(rows) })];
  const bytes = await new Blob(parts).bytes();
  let [at, turns, isOver] = [0, 0, false];
  const others = (async () => {
    for (; !isOver; turns++) await turnOfEventLoop();
  })();
  const index = await readPrepared("k", bytes.length, (buffer) => {
    const piece = bytes.subarray(at, at + buffer.length);
    buffer.set(piece);
    at += piece.length;
    return Promise.resolve(piece.length);
  });
  isOver = true;
  await others;
  assertEquals(index?.report, prepared.report);
  assert(turns >= 4 * 500_000 / 2 ** 18, `${turns} turns in ${bytes.length} bytes`);
});
