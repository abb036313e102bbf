/**
 * Whole numbers as 8 bits each: blocks of 256 share a scale, the largest of them being 127 of it. Pure.
 *
 * A payload has the scales of all blocks, f32, then the codes, i8, filled up to whole words. f32 and not f16: a scale may be
 * as large as 2^31 / 127, which f16 does not reach, and it is 1.5 % of the bytes.
 */
import type { Grain } from "../plan/chunk_plan.ts";

/** Values that share a scale. */
const BLOCK_ELEMENTS = 256;
/** Of a whole block: its scale and its codes. */
const BLOCK_BYTES = 4 + BLOCK_ELEMENTS;

export const INT8_GRAIN: Grain = { elements: BLOCK_ELEMENTS, bytes: BLOCK_BYTES };

const MAX_CODE = 127;
/** An f32 of which 127 are within i32. */
const MAX_SCALE = 16_909_320;
/** Adding and subtracting it rounds to the nearest whole number: f64 has no room for a fraction there. */
export const NO_FRACTION = 1.5 * 2 ** 52;

/** 32-bit words of a payload. */
export function int8Words(elementCount: number): number {
  return blocksOf(elementCount) + Math.ceil(elementCount / 4);
}

const blocksOf = (elementCount: number): number => Math.ceil(elementCount / BLOCK_ELEMENTS);

function partsOf(payload: Int32Array, elementCount: number): { scales: Float32Array; codes: Int8Array } {
  const scales = new Float32Array(payload.buffer, payload.byteOffset, blocksOf(elementCount));
  const codes = new Int8Array(payload.buffer, payload.byteOffset + scales.byteLength, elementCount);
  return { scales, codes };
}

/** Fills the payload and leaves the rounding errors in `values` (whole numbers): at most half a scale and half a unit within i32. */
export function quantize(values: Float64Array, payload: Int32Array): void {
  const { scales, codes } = partsOf(payload, values.length);
  // The bytes behind the last code would hold whatever was there.
  payload[payload.length - 1] = 0;
  for (let block = 0; block < scales.length; block++) {
    const start = block * BLOCK_ELEMENTS;
    const end = Math.min(values.length, start + BLOCK_ELEMENTS);
    // Read back, to use the f32 that travels.
    scales[block] = Math.min(largestOf(values, start, end) / MAX_CODE, MAX_SCALE);
    quantizeBlock(values, codes, start, end, scales[block]!);
  }
}

function largestOf(values: Float64Array, start: number, end: number): number {
  let largest = 0;
  for (let index = start; index < end; index++) {
    const size = Math.abs(values[index]!);
    if (size > largest) largest = size;
  }
  return largest;
}

function quantizeBlock(
  values: Float64Array,
  codes: Int8Array,
  start: number,
  end: number,
  scale: number,
): void {
  const perUnit = scale === 0 ? 0 : 1 / scale;
  for (let index = start; index < end; index++) {
    const value = values[index]!;
    let code = value * perUnit + NO_FRACTION - NO_FRACTION;
    if (code > MAX_CODE) code = MAX_CODE;
    if (code < -MAX_CODE) code = -MAX_CODE;
    codes[index] = code;
    values[index] = value - (code * scale + NO_FRACTION - NO_FRACTION);
  }
}

/** Writes whole numbers within i32, so that their sums are exact in f64 in any order; blocks of at most ±127 come back unchanged. */
export function dequantize(payload: Int32Array, target: Int32Array): void {
  const { scales, codes } = partsOf(payload, target.length);
  for (let block = 0; block < scales.length; block++) {
    const scale = scales[block]!;
    const end = Math.min(target.length, (block + 1) * BLOCK_ELEMENTS);
    for (let index = block * BLOCK_ELEMENTS; index < end; index++) {
      target[index] = codes[index]! * scale + NO_FRACTION - NO_FRACTION;
    }
  }
}

export function addDequantized(payload: Int32Array, target: Float64Array): void {
  const { scales, codes } = partsOf(payload, target.length);
  for (let block = 0; block < scales.length; block++) {
    const scale = scales[block]!;
    const end = Math.min(target.length, (block + 1) * BLOCK_ELEMENTS);
    for (let index = block * BLOCK_ELEMENTS; index < end; index++) {
      target[index]! += codes[index]! * scale + NO_FRACTION - NO_FRACTION;
    }
  }
}
