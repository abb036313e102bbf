/**
 * The fingerprint of a training state: tells replicas apart that differ by accident, at a tenth of SHA-256's time (decision 0049).
 * Nobody may load a state under it, since whoever knows the keys can make a different state with the same one: a commit under
 * a fingerprint has no holders.
 *
 * Blocks of 1024 elements of adapter a, first moment m and second moment v, as the u32 of their bits, the last one filled up with
 * zeros, are hashed by NH, the hash family of UMAC (Black, Halevi, Krawczyk, Krovetz, Rogaway 1999; RFC 4418, section 5.2.2):
 *
 *     sum₀, sum₁ = Σ (aᵢ + kᵢ)(mᵢ + k′ᵢ) + Σ (vᵢ + k″ᵢ)(vᵢ₊₄ + k″ᵢ₊₄)    i of sum₀: even, of sum₁: odd; in v: i mod 8 < 4
 *
 * where sums in brackets are modulo 2³², the others modulo 2⁶⁴. Two blocks that differ have the same sums with probability 2⁻³²
 * over the keys; replicas that stay different differ anew after every step. The fingerprint is SHA-256 of
 * "lorafleet fingerprint <elements>\n" and the blocks' sums, in order, little-endian, with zeros as its first 16 digits.
 */
import { createHash } from "node:crypto";
import { asFingerprint } from "../../../shared/protocol/state/state_digest.ts";

export const BLOCK_ELEMENTS = 1024;
/** Two u64. */
export const SUM_BYTES = 16;

/** Keys of an array's elements in a block: the same for all workers and blocks. @param array 0 to 2, in the order above */
export function keysOf(array: number): Uint32Array {
  const keys = new Uint8Array(4 * BLOCK_ELEMENTS);
  for (let at = 0; at < keys.length; at += 32) {
    keys.set(createHash("sha256").update(`lorafleet fingerprint key ${array} ${at}`).digest(), at);
  }
  return new Uint32Array(keys.buffer);
}

/** In hexadecimal. @param sums of all blocks */
export function fingerprintOfSums(elementCount: number, sums: Uint8Array): string {
  const hash = createHash("sha256").update(`lorafleet fingerprint ${elementCount}\n`).update(sums);
  return asFingerprint(hash.digest("hex"));
}

/** In hexadecimal: the reference, whose bits the kernel has. @param arrays adapter, first and second moment */
export function fingerprintOf(arrays: readonly [Float32Array, Float32Array, Float32Array]): string {
  const elementCount = arrays[0].length;
  const keys = [0, 1, 2].map(keysOf);
  const words = arrays.map(({ buffer, byteOffset, length }) => new Uint32Array(buffer, byteOffset, length));
  const sums = new BigUint64Array(2 * Math.ceil(elementCount / BLOCK_ELEMENTS));
  for (let at = 0; at < sums.length * BLOCK_ELEMENTS / 2; at++) {
    const inBlock = at % BLOCK_ELEMENTS;
    const keyed = (array: number, ahead = 0): bigint =>
      BigInt((words[array]![at + ahead] ?? 0) + keys[array]![inBlock + ahead]! >>> 0);
    const place = 2 * Math.floor(at / BLOCK_ELEMENTS) + at % 2;
    // Stored modulo 2^64.
    sums[place]! += keyed(0) * keyed(1) + (at % 8 < 4 ? keyed(2) * keyed(2, 4) : 0n);
  }
  return fingerprintOfSums(elementCount, new Uint8Array(sums.buffer));
}
