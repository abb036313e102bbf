/**
 * Whatever is wrong with a file, the error is one for its owner. Parquet's pages of the second version are read in a thread, which
 * is ended if hyparquet does not end: then it has announced which rows it decodes, by which a preparation knows that it hangs.
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import fc from "fast-check";
import { goldenPath } from "../../../tests/golden/data_goldens.ts";
import { systemClock } from "../../clock.ts";
import { LoraFleetError } from "../../errors.ts";
import { pcg32 } from "../../prng.ts";
import { checkDataFile } from "./check_ends.ts";
import { bytesInMemory } from "./data_bytes.ts";
import { formatOfName, FORMATS } from "./formats.ts";

const FILES = [
  ...[
    "parquet/chat_zstd.parquet",
    "parquet/chat_snappy.parquet",
    "parquet/chat_gzip.parquet",
    "parquet/chat_lz4.parquet",
  ],
  ...[
    "parquet/chat_brotli.parquet",
    "parquet/types.parquet",
    "parquet/times.parquet",
  ],
  ...["csv/quotes.csv", "tsv/tabs.tsv", "json/list.json", "json/squad.json", "txt/plain.txt"],
];

async function read(name: string, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
  const source = bytesInMemory(bytes);
  for (
    const work of [
      () => checkDataFile(name, source),
      () => Array.fromAsync(FORMATS[formatOfName(name)!].read(source, {})),
    ]
  ) {
    await work().catch((thrown) => {
      if (!(thrown instanceof LoraFleetError)) throw thrown;
      assert(thrown.code === "invalid_dataset", thrown.message);
      assert(thrown.message.length < 2000, thrown.message);
    });
  }
}

for (const path of FILES) {
  const name = path.slice(path.indexOf("/") + 1);
  Deno.test(`a damaged ${name} is read or refused`, async () => {
    const whole = await Deno.readFile(goldenPath(`data/formats/${path}`));
    const damage = fc.array(fc.tuple(fc.nat(whole.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 });
    await fc.assert(
      fc.asyncProperty(damage, fc.nat(whole.length), fc.boolean(), async (changes, end, isCut) => {
        const bytes = whole.slice(0, isCut ? end : whole.length);
        for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value;
        await read(name, bytes);
      }),
      { numRuns: 300, seed: 7 },
    );
  });
}

/** Time enough for a file of some kilobytes. */
const HANGS_AFTER_MS = 700;

/** Reads damaged copies one after the other, from the first one on. Resolves with the index of the one that hangs. */
async function firstThatHangs(copies: readonly Uint8Array[], from: number): Promise<number | null> {
  const thread = new Worker(new URL("./damaged_parquet_fixture.ts", import.meta.url), { type: "module" });
  let [at, heardAt, isDone, decoding] = [from, systemClock.now() + 5000, false, null as string | null];
  const wrong: string[] = [];
  thread.onmessage = ({ data }) => {
    [at, decoding, isDone] = [data.at, data.decoding ?? null, data.at === copies.length];
    if (data.wrong !== undefined) wrong.push(`copy ${data.at}: ${data.wrong}`);
    heardAt = systemClock.now();
  };
  thread.postMessage({ copies, from });
  while (!isDone && systemClock.now() - heardAt < HANGS_AFTER_MS) await systemClock.sleep(20);
  thread.terminate();
  assertEquals(wrong, []);
  if (isDone) return null;
  assertMatch(decoding ?? "", /^rows \d+ to \d+$/, `copy ${at} hangs, but not while rows are decoded`);
  return at;
}

for (const name of ["pages_v2.parquet", "delta_v2.parquet", "types_v2.parquet"]) {
  Deno.test(`a damaged ${name} is read, refused, or hangs while it says what it decodes`, async () => {
    const whole = await Deno.readFile(goldenPath(`data/formats/parquet/${name}`));
    const random = pcg32(11);
    const copies = Array.from({ length: 150 }, () => {
      const bytes = whole.slice();
      bytes[random.below(whole.length)] = random.below(256);
      return bytes;
    });
    for (let from: number | null = 0; from !== null && from < copies.length;) {
      const hangs: number | null = await firstThatHangs(copies, from);
      from = hangs === null ? null : hangs + 1;
    }
  });
}
