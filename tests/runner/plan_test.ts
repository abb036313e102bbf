import { assertEquals } from "@std/assert";
import { planProcesses } from "./plan.ts";

const files = {
  unit: ["coordinator/a_test.ts", "coordinator/b_test.ts", "worker/a_test.ts"],
  gpu: ["c_gpu_test.ts", "d_gpu_test.ts"],
  integration: ["tests/integration/e_test.ts", "tests/integration/f_test.ts"],
};

Deno.test("the units of a folder share a process, each other file has one; integration runs behind, by itself", () => {
  const { together, alone } = planProcesses(files, ["unit", "gpu", "integration"]);
  assertEquals(together.map(({ name, files }) => [name, files.length]), [
    ["units of coordinator", 2],
    ["units of worker", 1],
    ["c_gpu_test.ts", 1],
    ["d_gpu_test.ts", 1],
  ]);
  assertEquals(alone.map(({ group, name }) => [group, name]), [
    ["integration", "tests/integration/e_test.ts"],
    ["integration", "tests/integration/f_test.ts"],
  ]);
});

Deno.test("the units of a large folder are parts of about the same size, with each file once", () => {
  const unit = Array.from({ length: 187 }, (_, index) => `coordinator/${index}_test.ts`);
  const { together } = planProcesses({ ...files, unit }, ["unit"]);
  assertEquals(together.map(({ name, files }) => [name, files.length]), [
    ["units of coordinator, part 1 of 2", 94],
    ["units of coordinator, part 2 of 2", 93],
  ]);
  assertEquals(together.flatMap(({ files }) => files), unit);
});

Deno.test("only what was asked for is planned", () => {
  assertEquals(planProcesses(files, ["unit"]).together.length, 2);
  assertEquals(planProcesses({ ...files, unit: [] }, ["unit", "gpu"]).together.length, 2);
  assertEquals(planProcesses(files, ["integration"]).together, []);
  assertEquals(planProcesses(files, ["gpu"]).alone, []);
});
