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

Deno.test("the state in halves is that of 64 bits, for any seed and stream", () => {
  const mask = 0xffff_ffff_ffff_ffffn;
  const reference = (seed: bigint, stream: bigint, count: number): number[] => {
    const increment = ((stream << 1n) | 1n) & mask;
    let state = 0n;
    const next = () => {
      const old = state;
      state = (old * 6364136223846793005n + increment) & mask;
      const shifted = Number((((old >> 18n) ^ old) >> 27n) & 0xffff_ffffn);
      const rotation = Number(old >> 59n);
      return ((shifted >>> rotation) | (shifted << (-rotation & 31))) >>> 0;
    };
    next();
    state = (state + BigInt.asUintN(64, seed)) & mask;
    next();
    return Array.from({ length: count }, next);
  };
  const seeds = [
    0n,
    1n,
    42n,
    2n ** 32n - 1n,
    2n ** 32n,
    2n ** 63n,
    2n ** 64n - 1n,
    -1n,
    0x0123_4567_89ab_cdefn,
  ];
  for (const seed of seeds) {
    for (const stream of [...seeds, 0x6f726465_00000000n + 999_999n]) {
      const prng = pcg32(seed, stream);
      assertEquals(Array.from({ length: 2000 }, () => prng.uint32()), reference(seed, stream, 2000));
    }
  }
});
