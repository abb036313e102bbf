/**
 * Random numbers from counters: a number depends on (key, index) alone, never on the worker or on earlier draws. The hash is two
 * rounds of the PCG-RXS-M-XS output function (Jarzynski and Olano, "Hash Functions for GPU Rendering", 2020). Both languages
 * change together or not at all.
 */

export const COUNTER_HASH = `
fn pcg(value: u32) -> u32 {
  let state = value * 747796405u + 2891336453u;
  let word = ((state >> ((state >> 28u) + 4u)) ^ state) * 277803737u;
  return (word >> 22u) ^ word;
}

fn counterHash(index: u32, keyLow: u32, keyHigh: u32) -> u32 {
  return pcg(pcg(index ^ keyLow) ^ keyHigh);
}
`;

/** Identifies one sequence of a job. */
export interface CounterKey {
  readonly low: number;
  readonly high: number;
}

/** Every u32 triple gives its own key: no two sequences are shared. */
export function counterKey(seed: number, microBatchNumber: number, sequence: number): CounterKey {
  return {
    low: (pcg(seed) ^ Math.imul(microBatchNumber, 0x9e37_79b1)) >>> 0,
    high: pcg((Math.imul(sequence, 0x85eb_ca6b) ^ pcg(microBatchNumber)) >>> 0),
  };
}

/** A uniform u32. */
export function counterHash({ low, high }: CounterKey, index: number): number {
  return pcg((pcg((index ^ low) >>> 0) ^ high) >>> 0);
}

function pcg(value: number): number {
  const state = (Math.imul(value, 747796405) + 2891336453) >>> 0;
  const word = Math.imul((state >>> ((state >>> 28) + 4)) ^ state, 277803737) >>> 0;
  return ((word >>> 22) ^ word) >>> 0;
}
