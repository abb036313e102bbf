import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { LoraFleetError } from "../../shared/errors.ts";
import { BROKEN_GPU, MAX_RESETS, RESET_WINDOW_MS, ResetCount } from "./reset_count.ts";

Deno.test("resets that are far apart are repaired forever", () => {
  let now = 0;
  const count = new ResetCount(() => now);
  for (let reset = 0; reset < 50; reset++) {
    count.add("lost");
    now += RESET_WINDOW_MS / MAX_RESETS;
  }
});

Deno.test("one more than three within an hour: a sentence that says how many, how fast, why, and what to do", () => {
  let now = 0;
  const count = new ResetCount(() => now);
  for (let reset = 0; reset < MAX_RESETS; reset++) {
    count.add("lost");
    now += 4 * 60_000;
  }
  const error = assertThrows(() => count.add("the device was lost: hung"), LoraFleetError);
  assertEquals([error.code, error.param], ["gpu_failure", BROKEN_GPU]);
  assertStringIncludes(
    error.message,
    "was reset 4 times within 12 min, the last time: the device was lost: hung",
  );
  assertStringIncludes(error.message, "nvidia-smi -pl");
});
