import { assertEquals, assertNotEquals } from "@std/assert";
import { copyState, digestOf, emptyState } from "./adamw_state.ts";

Deno.test("a copy has the same digest and its own memory; every array counts, and its place", () => {
  const state = emptyState(3);
  state.adapter[0] = 1;
  const copy = copyState(state);
  assertEquals(digestOf(copy), digestOf(state));
  copy.secondMoment[2] = 1;
  assertEquals(state.secondMoment[2], 0);
  assertNotEquals(digestOf(copy), digestOf(state));
  const { adapter, firstMoment, secondMoment } = state;
  assertNotEquals(digestOf({ adapter: firstMoment, firstMoment: adapter, secondMoment }), digestOf(state));
});
