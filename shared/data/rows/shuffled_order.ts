/**
 * The order that `datasets`' `shuffle(seed=…)` gives: numpy's `default_rng(seed).permutation(n)`. NumPy's SeedSequence turns
 * the seed into the state of a PCG64, and Generator.shuffle walks from the last place to the first
 * (numpy/random/bit_generator.pyx, src/pcg64, _generator.pyx).
 */

const U32 = 0xffff_ffffn;
const U64 = (1n << 64n) - 1n;
const U128 = (1n << 128n) - 1n;
/** PCG's multiplier of 128 bits. */
const MULTIPLIER = 0x2360ed051fc65da44385df649fccf645n;

/** A permutation of 0 … count − 1. @param seed a whole number from 0 */
export function shuffledOrder(seed: number, count: number): Uint32Array {
  const order = Uint32Array.from({ length: count }, (_, index) => index);
  const next = pcg64(seed);
  for (let place = count - 1; place > 0; place--) {
    const other = upTo(next, place);
    const moved = order[place]!;
    order[place] = order[other]!;
    order[other] = moved;
  }
  return order;
}

/** A number from 0 to `max`: masked bits, drawn again while they are larger. */
function upTo(next: () => number, max: number): number {
  const mask = 2 ** (32 - Math.clz32(max)) - 1;
  for (;;) {
    const value = (next() & mask) >>> 0;
    if (value <= max) return value;
  }
}

/** 32 bits at a time: the lower half of each output first. */
function pcg64(seed: number): () => number {
  const [high, low, incrementHigh, incrementLow] = seedSequence(seed);
  const increment = (((incrementHigh! << 64n) | incrementLow!) << 1n | 1n) & U128;
  const step = (state: bigint) => (state * MULTIPLIER + increment) & U128;
  let state = step(increment + ((high! << 64n) | low!));
  let upperHalf: number | null = null;
  return () => {
    if (upperHalf !== null) {
      const value = upperHalf;
      upperHalf = null;
      return value;
    }
    state = step(state);
    const folded = (state >> 64n) ^ (state & U64);
    const rotation = state >> 122n;
    const output = ((folded >> rotation) | (folded << ((64n - rotation) & 63n))) & U64;
    upperHalf = Number(output >> 32n);
    return Number(output & U32);
  };
}

/** `SeedSequence(seed).generate_state(4, uint64)`. */
function seedSequence(seed: number): bigint[] {
  const pool = mixedPool(entropyOf(seed));
  let hash = 0x8b51f9dd;
  const words = Array.from({ length: 8 }, (_, index) => {
    let word = pool[index % pool.length]! ^ hash;
    hash = Math.imul(hash, 0x58f38ded);
    word = Math.imul(word, hash);
    return (word ^ (word >>> 16)) >>> 0;
  });
  return [0, 2, 4, 6].map((index) => BigInt(words[index]!) | (BigInt(words[index + 1]!) << 32n));
}

function entropyOf(seed: number): number[] {
  const high = Math.floor(seed / 2 ** 32);
  return high === 0 ? [seed >>> 0] : [seed >>> 0, high >>> 0];
}

function mixedPool(entropy: readonly number[]): number[] {
  let hash = 0x43b0d7e5;
  const hashMix = (value: number) => {
    let mixed = value ^ hash;
    hash = Math.imul(hash, 0x931e8875);
    mixed = Math.imul(mixed, hash);
    return (mixed ^ (mixed >>> 16)) >>> 0;
  };
  const mix = (x: number, y: number) => {
    const result = Math.imul(x, 0xca01f9dd) - Math.imul(y, 0x4973f715);
    return (result ^ (result >>> 16)) >>> 0;
  };
  const pool = Array.from({ length: 4 }, (_, index) => hashMix(entropy[index] ?? 0));
  for (let from = 0; from < 4; from++) {
    for (let to = 0; to < 4; to++) {
      if (from !== to) pool[to] = mix(pool[to]!, hashMix(pool[from]!));
    }
  }
  return pool;
}
