import { pcg32, type Prng } from "../../../shared/prng.ts";

/** Seeded normal numbers as f32. */
export function randomNormal(prng: Prng, count: number, scale = 1): Float32Array {
  return Float32Array.from({ length: count }, () => prng.normal() * scale);
}

/** The generator of a test, seeded by its name's length and characters, so that no two tests share numbers. */
export function testPrng(name: string): Prng {
  let seed = name.length;
  for (const character of name) seed = (Math.imul(seed, 31) + character.charCodeAt(0)) >>> 0;
  return pcg32(seed);
}
