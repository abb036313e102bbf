import { assertEquals } from "@std/assert";
import { runAtScale } from "./model/scale_run.ts";
import { parseOptions } from "./scale_options.ts";

/** Last lines of `deno task sim --seed N`. A change that is meant to move them says so in its commit. */
const TRACES: Readonly<Record<string, string>> = {
  "1": "101a52979538b79608978d1bf06b16993b00bbfd84b54be2ba8131d403b5f4f6",
  "2": "c5843b33b250e91182cb8e7068835f50bef8c1c08278364aa4be762c2a451cd7",
  "3": "d27e947a9508be3152812eeb0a26a5419dd0ff6c72d0cd1b23f99aaf3206e550",
};

for (const [seed, trace] of Object.entries(TRACES)) {
  Deno.test(`seed ${seed}: every event at its millisecond, as pinned`, async () => {
    const { traceHash, lost, doubled, isSameDigest } = await runAtScale(parseOptions(["--seed", seed]).scale);
    assertEquals({ traceHash, lost, doubled, isSameDigest }, {
      traceHash: trace,
      lost: 0,
      doubled: 0,
      isSameDigest: true,
    });
  });
}
