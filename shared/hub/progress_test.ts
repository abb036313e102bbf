import { assertEquals } from "@std/assert";
import { formatBytes, paceProgress } from "./progress.ts";

Deno.test("progress is reported at the start, now and then, and at the end", () => {
  let now = 0;
  const lines: string[] = [];
  const report = paceProgress({
    clock: { now: () => now },
    everyMs: 10_000,
    what: "org/tiny",
    report: (message) => lines.push(message),
  });
  for (now = 0; now <= 30_000; now += 1000) {
    report({ path: "model.safetensors", doneBytes: now * 100_000, totalBytes: 13_500_000_000 });
  }
  report({ path: "model.safetensors", doneBytes: 13_500_000_000, totalBytes: 13_500_000_000 });
  report({ path: "model.safetensors", doneBytes: 13_500_000_000, totalBytes: 13_500_000_000 });
  assertEquals(lines, [
    "Downloading 13.5 GB of org/tiny.",
    "Downloading org/tiny: 1.0 GB of 13.5 GB (7 %), 100 MB/s, 2 min left.",
    "Downloading org/tiny: 2.0 GB of 13.5 GB (14 %), 100 MB/s, 2 min left.",
    "Downloading org/tiny: 3.0 GB of 13.5 GB (22 %), 100 MB/s, 2 min left.",
    "Downloaded 13.5 GB of org/tiny.",
  ]);
});

Deno.test("a resumed transfer says where it goes on; an empty one says nothing", () => {
  const lines: string[] = [];
  const report = paceProgress({
    clock: { now: () => 0 },
    everyMs: 1,
    what: "org/tiny",
    report: (line) => lines.push(line),
    verbs: ["Pushing", "Pushed"],
  });
  report({ path: "a", doneBytes: 0, totalBytes: 0 });
  report({ path: "a", doneBytes: 500, totalBytes: 1000 });
  assertEquals(lines, ["Pushing 1.0 kB of org/tiny, from byte 500."]);
});

Deno.test("sizes have two or three digits", () => {
  const sizes: [number, string][] = [[0, "0 bytes"], [999, "999 bytes"], [1000, "1.0 kB"], [
    12_345,
    "12.3 kB",
  ]];
  sizes.push([999_600, "1.0 MB"], [123_456_789, "123 MB"], [13_476_000_000, "13.5 GB"], [4e15, "4000 TB"]);
  for (const [bytes, text] of sizes) assertEquals(formatBytes(bytes), text);
});
