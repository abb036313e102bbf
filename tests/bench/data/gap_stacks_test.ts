import { assertEquals } from "@std/assert";
import { type Profile, stacksWithin } from "./gap_stacks.ts";

const frame = (functionName: string, url = "", lineNumber = -1) => ({ functionName, url, lineNumber });

/** A sample each 1000 µs from 10,000 on: idle, then `parse` called by `main`, then the collector. */
const profile: Profile = {
  nodes: [
    { id: 1, callFrame: frame("(root)"), children: [2, 3, 5] },
    { id: 2, callFrame: frame("(idle)") },
    { id: 3, callFrame: frame("main", "file:///x/main.ts", 9), children: [4] },
    { id: 4, callFrame: frame("", "file:///x/parse.ts", 4) },
    { id: 5, callFrame: frame("(garbage collector)") },
  ],
  startTime: 9000,
  samples: [2, 2, 4, 4, 4, 5, 4, 2],
  timeDeltas: [1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000],
};

Deno.test("samples within a time are counted by their stacks; an idle thread has none", () => {
  assertEquals(stacksWithin(profile, 11_000, 15_500), [
    "3 x anonymous parse.ts:5 < main main.ts:10",
    "1 x (garbage collector)",
  ]);
  assertEquals(stacksWithin(profile, 10_000, 11_500), []);
  assertEquals(stacksWithin(profile, 16_000, 16_000), ["1 x anonymous parse.ts:5 < main main.ts:10"]);
});
