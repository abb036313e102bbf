import { assert, assertEquals } from "@std/assert";
import { isAudited } from "./run_plan.ts";

const chosen = (seed: number, rate: number) =>
  Array.from({ length: 4000 }, (_, i) => isAudited(seed, 1 + Math.floor(i / 8), i % 8, rate));

Deno.test("audits a share of `rate`, the same for every call and different for a different seed", () => {
  const half = chosen(7, 0.25);
  const count = half.filter(Boolean).length;
  assert(count > 900 && count < 1100, `${count} of 4000`);
  assertEquals(chosen(7, 0.25), half);
  assert(chosen(8, 0.25).some((is, i) => is !== half[i]));
});

Deno.test("rate 0 audits none, 1 all; a higher rate audits what a lower one does, and more", () => {
  assertEquals([chosen(7, 0).some(Boolean), chosen(7, 1).every(Boolean)], [false, true]);
  const [few, many] = [chosen(7, 0.1), chosen(7, 0.4)];
  assert(few.every((is, i) => !is || many[i]));
});
