/** Seeded randomness: nothing in lorafleet calls `Math.random`, so every run can be repeated. */
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
  const mask = 0xffff_ffff_ffff_ffffn;
  const increment = ((BigInt(stream) << 1n) | 1n) & mask;
  let state = 0n;
  const uint32 = (): number => {
    const old = state;
    state = (old * 6364136223846793005n + increment) & mask;
    const shifted = Number((((old >> 18n) ^ old) >> 27n) & 0xffff_ffffn);
    const rotation = Number(old >> 59n);
    return ((shifted >>> rotation) | (shifted << (-rotation & 31))) >>> 0;
  };
  uint32();
  state = (state + BigInt.asUintN(64, BigInt(seed))) & mask;
  uint32();
  const uniform = () => (uint32() >>> 8) / 2 ** 24;
  return {
    uint32,
    uniform,
    below: (bound) => Math.floor(uniform() * bound),
    normal: () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform()),
  };
}
