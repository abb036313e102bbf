import { assert, assertEquals } from "@std/assert";
import { pcg32 } from "../../shared/prng.ts";
import { drawFaults } from "./faults.ts";

Deno.test("twenty faults have every type, all stops of a worker, and one step each", () => {
  for (let seed = 0; seed < 50; seed++) {
    const faults = drawFaults(pcg32(seed), 20, 80);
    assertEquals(new Set(faults.map(({ fault }) => fault.type)).size, 12);
    assertEquals(
      new Set(faults.flatMap(({ fault }) => fault.type === "stop worker" ? [fault.ms] : [])).size,
      3,
    );
    assertEquals(new Set(faults.map(({ step }) => step)).size, 20);
    assert(faults.every(({ step }) => step > 1 && step < 80));
  }
});

Deno.test("the same seed gives the same faults", () => {
  assertEquals(drawFaults(pcg32(7), 30, 100), drawFaults(pcg32(7), 30, 100));
});
