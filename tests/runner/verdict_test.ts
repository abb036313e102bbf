import { assertEquals } from "@std/assert";
import { noTests } from "./junit.ts";
import type { ProcessResult } from "./result.ts";
import { judge } from "./verdict.ts";

const unit: ProcessResult = { group: "unit", name: "unit", counts: { ...noTests, passed: 3 } };
const gpu: ProcessResult = { group: "gpu", name: "a_gpu_test.ts", counts: { ...noTests, passed: 2 } };

Deno.test("a good run sums up its groups", () => {
  assertEquals(judge([unit, gpu], ["unit", "gpu"], false), {
    good: true,
    failures: [],
    reasons: [],
    summary: "5 passed, 0 failed",
  });
});

Deno.test("a failed test fails the run, is counted, and is repeated", () => {
  const failures = [
    { name: "a", message: "Error: x\n    at a:1" },
    { name: "b", message: "y\n".repeat(22) },
    { name: "parent of a", message: "1 test step failed." },
  ];
  const failed = { ...gpu, counts: { ...noTests, passed: 1, failed: 3, failures } };
  assertEquals(judge([unit, failed], ["unit", "gpu"], false), {
    good: false,
    failures: [
      "failed in a_gpu_test.ts: a\n    Error: x\n        at a:1",
      `failed in a_gpu_test.ts: b\n${"    y\n".repeat(20)}    … 2 more lines above`,
    ],
    reasons: [],
    summary: "4 passed, 3 failed",
  });
});

Deno.test("a GPU file in which nothing ran is a failure, and so is a GPU group without files", () => {
  const idle = { ...gpu, counts: { ...noTests, ignored: ["x [ignored here: no GPU]"] } };
  assertEquals(judge([unit, gpu, idle], ["unit", "gpu"], false).reasons, [
    "no GPU test ran in a_gpu_test.ts",
  ]);
  assertEquals(judge([unit], ["unit", "gpu"], false).reasons, ["no gpu test ran"]);
  assertEquals(judge([unit], ["unit"], false).good, true);
});

Deno.test("ignored tests need a reason; a time limit is one against the run", () => {
  const silent = { ...unit, counts: { ...noTests, passed: 1, ignored: ["x"] } };
  assertEquals(judge([silent], ["unit"], false).good, false);
  assertEquals(judge([unit], ["unit"], true).good, false);
});
