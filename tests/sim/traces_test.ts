import { assertEquals } from "@std/assert";
import { runAtScale } from "./model/scale_run.ts";
import { parseOptions } from "./scale_options.ts";

/** Last lines of `deno task sim --seed N`. A change that is meant to move them says so in its commit. */
const TRACES: Readonly<Record<string, string>> = {
  "1": "befc70e8dc335c96406f4ed06f60a2285c1fa2c0655fdcb0e7d210af5ab535b8",
  "2": "87a93a5bc71e37796d9992a5e13f372e862337a2d876ffd9aaf28efbc2f7c36c",
  "3": "f3a8ffa381ac5f0ea5f82390fde2f768a35427bbea8e9c99191def372df8db8a",
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
