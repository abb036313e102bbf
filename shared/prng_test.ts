import { assertEquals } from "@std/assert";
import { pcg32 } from "./prng.ts";

Deno.test("pcg32 yields the reference sequence of pcg-c-basic for seed 42, stream 54", () => {
  const prng = pcg32(42, 54);
  const expected = [0xa15c02b7, 0x7b47f409, 0xba1d3330, 0x83d2f293, 0xbfa4784b, 0xcbed606e];
  assertEquals(expected.map(() => prng.uint32()), expected);
});

Deno.test("pcg32: two streams of one seed differ, the same stream repeats", () => {
  const first = (stream: number) => pcg32(7, stream).uint32();
  assertEquals(first(1), first(1));
  assertEquals(first(1) === first(2), false);
});
