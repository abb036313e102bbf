import { assertEquals } from "@std/assert";
import { judge, type ProcessResult } from "./verdict.ts";

const unit: ProcessResult = { group: "unit", name: "unit", counts: { passed: 3, failed: 0, ignored: [] } };
const gpu: ProcessResult = {
  group: "gpu",
  name: "a_gpu_test.ts",
  counts: { passed: 2, failed: 0, ignored: [] },
};

Deno.test("a good run sums up its groups", () => {
  assertEquals(judge([unit, gpu], ["unit", "gpu"], false), {
    good: true,
    reasons: [],
    summary: "5 passed, 0 failed",
  });
});

Deno.test("a failed test makes the run bad and is counted", () => {
  const failed = { ...gpu, counts: { passed: 1, failed: 2, ignored: [] } };
  assertEquals(judge([unit, failed], ["unit", "gpu"], false), {
    good: false,
    reasons: [],
    summary: "4 passed, 2 failed",
  });
});

Deno.test("a GPU file in which nothing ran is a failure, and so is a GPU group without files", () => {
  const idle = { ...gpu, counts: { passed: 0, failed: 0, ignored: ["x [ignored here: no GPU]"] } };
  assertEquals(judge([unit, gpu, idle], ["unit", "gpu"], false).reasons, [
    "no GPU test ran in a_gpu_test.ts",
  ]);
  assertEquals(judge([unit], ["unit", "gpu"], false).reasons, ["no gpu test ran"]);
  assertEquals(judge([unit], ["unit"], false).good, true);
});

Deno.test("ignored tests need a reason; a time limit is one against the run", () => {
  const silent = { ...unit, counts: { passed: 1, failed: 0, ignored: ["x"] } };
  assertEquals(judge([silent], ["unit"], false).good, false);
  assertEquals(judge([unit], ["unit"], true).good, false);
});
