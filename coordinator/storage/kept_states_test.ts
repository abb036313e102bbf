import { assert, assertEquals } from "@std/assert";
import { keptStates, SUSPECT_STEPS } from "./kept_states.ts";

Deno.test("without suspects the newest training state alone stays", () =>
  assertEquals(keptStates([5, 10, 15], 15, 0), [15]));

Deno.test("however often states are stored, one from before a divergence is there, and never more than three", () => {
  for (const every of [1, 5, 13, 40, 100]) {
    let stored: number[] = [];
    for (let step = every; step < 1000; step += every) {
      stored = keptStates([...stored, step], step, SUSPECT_STEPS);
      assert(stored.length <= 3, `${stored}`);
      // The rest of the time until the next state is stored belongs to this one.
      for (const now of [step, step + every - 1]) {
        const good = stored.filter((one) => one <= now - SUSPECT_STEPS);
        const isNeeded = now - SUSPECT_STEPS >= every;
        if (isNeeded) assert(good.length > 0, `every ${every}, step ${now}: ${stored}`);
        if (good.length > 0) {
          assert(now - Math.max(...good) <= 2 * SUSPECT_STEPS + every, `${now}: ${stored}`);
        }
      }
    }
  }
});
