import { assertEquals } from "@std/assert";
import { isNewerState, isOlderFleet } from "./terms.ts";

Deno.test("fleet states are ordered by term, then generation", () => {
  const of = (term: number, generation: number) => ({ term, generation });
  assertEquals(isOlderFleet(of(1, 4), of(1, 5)), true);
  assertEquals(isOlderFleet(of(1, 5), of(1, 5)), false);
  assertEquals(isOlderFleet(of(2, 0), of(1, 1_700_000_000_000)), false);
  assertEquals(isOlderFleet(of(1, 1_700_000_000_000), of(2, 0)), true);
});

Deno.test("step states are ordered by term, then revision", () => {
  const of = (term: number, revision: number) => ({ term, revision });
  assertEquals(isNewerState(of(1, 5), of(1, 4)), true);
  assertEquals(isNewerState(of(1, 5), of(1, 5)), false);
  assertEquals(isNewerState(of(2, 0), of(1, 9)), true);
  assertEquals(isNewerState(of(1, 9), of(2, 0)), false);
});
