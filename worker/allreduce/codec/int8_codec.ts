/**
 * A quarter of the bytes: 8 bits a sum, with rounding errors carried over to the next step. The owner adds the dequantised
 * payloads, quantises the total once, and uses the published payload as its own result: all replicas get the same bits. It carries
 * the total's rounding error over with its own sums. Errors depend on the distribution of the work (decision 0008).
 */
import type { ErrorFeedback } from "./error_feedback.ts";
import { addDequantized, dequantize, int8Words, quantize } from "./int8_blocks.ts";
import type { OwnerRange } from "../plan/owner_ranges.ts";
import type { RoundCodec } from "./round_codec.ts";
import { createScratch, type Scratch } from "./scratch.ts";

const MAX_I32 = 2 ** 31 - 1;

/**
 * @param sums this worker's gradient sums; become the result
 * @param feedback its round has begun
 * @param scratch for the own range's totals
 */
export function createInt8Codec(
  sums: Int32Array,
  ownRange: OwnerRange,
  feedback: ErrorFeedback,
  scratch: Scratch,
): RoundCodec {
  /** Whole numbers: exact in f64, also beyond i32, which totals with carried errors may exceed. */
  const own = new Float64Array(scratch.take(8 * ownRange.count), 0, ownRange.count);
  const results = new Map<number, Int32Array>();
  const [valueScratch, payloadScratch, integerScratch] = [createScratch(), createScratch(), createScratch()];
  const ofSums = ({ offset, count }: OwnerRange) => sums.subarray(offset, offset + count);
  const ofOwn = ({ offset, count }: OwnerRange) =>
    own.subarray(offset - ownRange.offset, offset - ownRange.offset + count);
  const copyOf = (source: Int32Array | Float64Array) => {
    const values = new Float64Array(valueScratch.take(8 * source.length), 0, source.length);
    values.set(source);
    return values;
  };
  const integersFor = (count: number) => new Int32Array(integerScratch.take(4 * count), 0, count);
  /** Whole numbers mod 2^32, as typed arrays convert them. */
  const wrapped = (values: Float64Array) => {
    const integers = integersFor(values.length);
    integers.set(values);
    return integers;
  };
  return {
    frameCodec: "i8",
    payloadWords: int8Words,
    encodeSums: (place) => {
      const values = copyOf(ofSums(place));
      feedback.addTo(place, values);
      const words = int8Words(place.count);
      const payload = new Int32Array(payloadScratch.take(4 * words), 0, words);
      quantize(values, payload);
      feedback.keep(place, values);
      return payload;
    },
    add: (place, payload, isFirst) => {
      const total = ofOwn(place);
      if (isFirst) {
        total.set(ofSums(place));
        feedback.addTo(place, total);
      }
      addDequantized(payload, total);
    },
    finish: (place) => {
      const payload = new Int32Array(int8Words(place.count));
      const total = ofOwn(place);
      quantize(total, payload);
      feedback.keep(place, total);
      dequantize(payload, ofSums(place));
      results.set(place.offset, payload);
    },
    encodeResult: (place) => results.get(place.offset)!,
    takeResult: (place, payload) => dequantize(payload, ofSums(place)),
    isExact: false,
    integersOf: ({ count }, payload) => {
      const integers = integersFor(count);
      dequantize(payload, integers);
      return integers;
    },
    ownIntegers: (place) => {
      const values = copyOf(ofSums(place));
      feedback.addTo(place, values);
      return wrapped(values);
    },
    totalOf: (place) => wrapped(ofOwn(place)),
    resultOf: ofSums,
  };
}

/** Adds the carried errors to the sums of a worker that is alone, which loses nothing itself. */
export function addCarried(sums: Int32Array, place: OwnerRange, feedback: ErrorFeedback): void {
  const own = sums.subarray(place.offset, place.offset + place.count);
  const values = Float64Array.from(own);
  feedback.addTo(place, values);
  for (let index = 0; index < own.length; index++) {
    own[index] = Math.max(-MAX_I32, Math.min(MAX_I32, values[index]!));
    values[index]! -= own[index]!;
  }
  feedback.keep(place, values);
}
