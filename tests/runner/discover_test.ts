import { assertEquals, assertThrows } from "@std/assert";
import { LoraFleetError } from "../../shared/errors.ts";
import { discoverTests, groupOf, selectTests } from "./discover.ts";

Deno.test("a test's group follows from its path", () => {
  assertEquals(groupOf("shared/prng_test.ts"), "unit");
  assertEquals(groupOf("worker/kernels/norm/rms_norm_gpu_test.ts"), "gpu");
  assertEquals(groupOf("tests/integration/fleet_test.ts"), "integration");
  assertEquals(groupOf("tests/integration/ladder_gpu_test.ts"), "gpu");
  assertEquals(groupOf("shared/prng.ts"), null);
  assertEquals(groupOf("shared/test.ts"), null);
});

Deno.test("outputs and hidden folders hold no tests, a room of an output's name does", () => {
  const root = Deno.makeTempDirSync();
  try {
    for (const folder of ["a", ".cache", "node_modules", "data", "demo-out", "shared/data/rows"]) {
      Deno.mkdirSync(`${root}/${folder}`, { recursive: true });
      Deno.writeTextFileSync(`${root}/${folder}/x_test.ts`, "");
    }
    Deno.writeTextFileSync(`${root}/a/b_gpu_test.ts`, "");
    assertEquals(discoverTests(root), {
      unit: ["a/x_test.ts", "shared/data/rows/x_test.ts"],
      gpu: ["a/b_gpu_test.ts"],
      integration: [],
    });
  } finally {
    Deno.removeSync(root, { recursive: true });
  }
});

Deno.test("files and folders are chosen by name, and a name without a test is refused", () => {
  const found = {
    unit: ["shared/a_test.ts", "shared/data/b_test.ts", "worker/c_test.ts"],
    gpu: ["worker/device/d_gpu_test.ts"],
    integration: ["tests/integration/e_test.ts"],
  };
  assertEquals(selectTests(found, []), found);
  assertEquals(selectTests(found, ["shared/data", "./worker/device/d_gpu_test.ts"]), {
    unit: ["shared/data/b_test.ts"],
    gpu: ["worker/device/d_gpu_test.ts"],
    integration: [],
  });
  assertEquals(selectTests(found, ["worker/"]).unit, ["worker/c_test.ts"]);
  assertThrows(() => selectTests(found, ["share"]), LoraFleetError, `"share"`);
});
