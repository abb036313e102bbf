/**
 * Whatever is wrong with a file, the error is one for its owner. Not tested: pages of Parquet's second version. hyparquet 1.33
 * can read on for ever in one whose bytes were changed; a preparation then ends as one that has stalled.
 */
import { assert } from "@std/assert";
import fc from "fast-check";
import { goldenPath } from "../../../tests/golden/data_goldens.ts";
import { LoraFleetError } from "../../errors.ts";
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
