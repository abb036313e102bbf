/**
 * Unchanged integers: 4 bytes an element, and the sum is the same in any order. The default.
 *
 * The loops run over views that begin at 0, and are functions of their own: the compiler then leaves out all checks.
 */
import type { OwnerRange } from "../plan/owner_ranges.ts";
import type { RoundCodec } from "./round_codec.ts";
import type { Scratch } from "./scratch.ts";

/**
 * @param sums this worker's gradient sums; become the result
 * @param scratch for the own range's sums, which are kept apart from the result
 */
export function createExactCodec(sums: Int32Array, ownRange: OwnerRange, scratch: Scratch): RoundCodec {
  const own = new Int32Array(scratch.take(4 * ownRange.count), 0, ownRange.count);
  const ofSums = ({ offset, count }: OwnerRange) => sums.subarray(offset, offset + count);
  const ofOwn = ({ offset, count }: OwnerRange) =>
    own.subarray(offset - ownRange.offset, offset - ownRange.offset + count);
  return {
    frameCodec: "i32",
    payloadWords: (elementCount) => elementCount,
    encodeSums: ofSums,
    add: (place, payload, isFirst) => {
      const total = ofOwn(place);
      if (isFirst) addTwo(total, ofSums(place), payload);
      else addTo(total, payload);
    },
    finish: (place) => ofSums(place).set(ofOwn(place)),
    encodeResult: ofOwn,
    takeResult: ({ offset }, payload) => sums.set(payload, offset),
    isExact: true,
    integersOf: (_, payload) => payload,
    ownIntegers: ofSums,
    totalOf: ofOwn,
    resultOf: ofSums,
  };
}

function addTwo(total: Int32Array, a: Int32Array, b: Int32Array): void {
  for (let index = 0; index < total.length; index++) total[index] = a[index]! + b[index]!;
}

function addTo(total: Int32Array, addend: Int32Array): void {
  for (let index = 0; index < total.length; index++) total[index]! += addend[index]!;
}
