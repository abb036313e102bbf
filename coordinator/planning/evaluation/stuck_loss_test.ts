import { assertEquals, assertStringIncludes } from "@std/assert";
import { pcg32 } from "../../../shared/prng.ts";
import { stuckLoss, stuckLossStep } from "./stuck_loss.ts";

const losses = (count: number, of: (step: number) => number) =>
  Array.from({ length: count }, (_, i) => of(i + 1));

Deno.test("a fifth of the steps is looked at once, and a job of a few steps not at all", () => {
  assertEquals([1000, 101, 50, 30, 20, 19, 1].map(stuckLossStep), [200, 21, 10, 10, 10, null, null]);
});

Deno.test("a loss that stays where it began is stuck, with noise or without; one that rises as well", () => {
  const random = pcg32(3);
  assertStringIncludes(
    stuckLoss(losses(20, () => 2.5))!,
    "was 2.5000 in the first 6 and is 2.5000 in the last 6",
  );
  assertStringIncludes(stuckLoss(losses(200, () => 2.5 + 0.3 * random.normal()))!, "After 200 steps");
  assertStringIncludes(stuckLoss(losses(40, (step) => 2 + step / 100))!, "has not moved");
});

Deno.test("a loss that falls is not stuck: fast, slowly but surely, or amid noise", () => {
  assertEquals(stuckLoss(losses(20, (step) => 2.5 / step)), null);
  assertEquals(stuckLoss(losses(400, (step) => 2.5 - step * 5e-5)), null);
  const random = pcg32(4);
  assertEquals(stuckLoss(losses(400, (step) => 2.5 - step / 2000 + 0.2 * random.normal())), null);
  assertEquals(stuckLoss(losses(9, () => 2.5)), null);
});
