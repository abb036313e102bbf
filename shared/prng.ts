/** Seeded randomness: nothing in lorafleet calls `Math.random`, so that every run can be repeated. */
export interface Prng {
  /** A uniform integer in [0, 2^32). */
  uint32(): number;
  /** A uniform number in [0, 1), with 24 bits, so that it is exact in f32. */
  uniform(): number;
  /** A uniform integer in [0, bound). */
  below(bound: number): number;
  /** A standard normal number (Box–Muller). */
  normal(): number;
}

/**
 * PCG-XSH-RR with 64 bits of state and 32 of output (O'Neill, 2014), the same sequence for the same seed everywhere.
 * `stream` selects one of 2^63 independent sequences, so that two uses of one seed do not share numbers.
 */
export function pcg32(seed: number | bigint, stream: number | bigint = 0): Prng {
  const increment = BigInt.asUintN(64, (BigInt(stream) << 1n) | 1n);
  const [incrementHigh, incrementLow] = halvesOf(increment);
  // The state in halves of 32 bits: big integers would slow the shuffle of a million rows.
  let high = 0;
  let low = 0;
  const add = (otherHigh: number, otherLow: number): void => {
    const sum = low + otherLow;
    high = (high + otherHigh + (sum > 0xffff_ffff ? 1 : 0)) >>> 0;
    low = sum >>> 0;
  };
  const uint32 = (): number => {
    const [oldHigh, oldLow] = [high, low];
    high =
      (upperProduct(oldLow, FACTOR_LOW) + Math.imul(oldHigh, FACTOR_LOW) + Math.imul(oldLow, FACTOR_HIGH)) >>>
      0;
    low = Math.imul(oldLow, FACTOR_LOW) >>> 0;
    add(incrementHigh, incrementLow);
    const mixedHigh = oldHigh ^ (oldHigh >>> 18);
    const mixedLow = oldLow ^ ((oldLow >>> 18) | (oldHigh << 14));
    const shifted = ((mixedLow >>> 27) | (mixedHigh << 5)) >>> 0;
    const rotation = oldHigh >>> 27;
    return ((shifted >>> rotation) | (shifted << (-rotation & 31))) >>> 0;
  };
  uint32();
  add(...halvesOf(BigInt.asUintN(64, BigInt(seed))));
  uint32();
  const uniform = () => (uint32() >>> 8) / 2 ** 24;
  return {
    uint32,
    uniform,
    below: (bound) => Math.floor(uniform() * bound),
    normal: () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform()),
  };
}

/** 6364136223846793005, the factor of PCG's 64-bit state. */
const [FACTOR_HIGH, FACTOR_LOW] = [0x5851_f42d, 0x4c95_7f2d];

function halvesOf(value: bigint): [high: number, low: number] {
  return [Number(value >> 32n), Number(value & 0xffff_ffffn)];
}

/** The upper 32 bits of the product of two unsigned numbers of 32 bits. */
function upperProduct(a: number, b: number): number {
  const [aHigh, aLow, bHigh, bLow] = [a >>> 16, a & 0xffff, b >>> 16, b & 0xffff];
  const middle = aHigh * bLow + ((aLow * bLow) >>> 16);
  const carry = (middle & 0xffff) + aLow * bHigh;
  return aHigh * bHigh + (middle >>> 16) + (carry >>> 16);
}
