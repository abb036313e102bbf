/**
 * Double quantisation: the absmax values of NF4 blocks, quantised to 8 bits in blocks of 256 with the signed dynamic map
 * (Dettmers et al., "8-bit Optimizers via Block-wise Quantization"), bit-equal to bitsandbytes on an x86-64 CPU.
 */
import { meanF32 } from "./nf4_mean.ts";

const f32 = Math.fround;

/** absmax values that share one nested absmax. */
export const NESTED_BLOCK_SIZE = 256;

/** The 256 values of an 8-bit code in f32, ascending (`create_dynamic_map` in bitsandbytes/functional.py). */
export const DYNAMIC_MAP: Float32Array = createDynamicMap();

/** For i in 0…6: ±10^(i−6) × the 2^i midpoints of 2^i+1 even steps from 0.1 to 1; and 0 and 1. */
function createDynamicMap(): Float32Array {
  const values = [0, 1];
  for (let i = 0; i < 7; i++) {
    const steps = 2 ** i;
    const boundaries = linspace(f32(0.1), 1, steps + 1);
    for (let step = 0; step < steps; step++) {
      const midpoint = f32(f32(boundaries[step]! + boundaries[step + 1]!) / 2);
      const value = f32(f32(10 ** (i - 6)) * midpoint);
      values.push(value, -value);
    }
  }
  return Float32Array.from(values).sort();
}

/** `torch.linspace` in f32: from both ends towards the middle. */
function linspace(start: number, end: number, count: number): number[] {
  const step = f32(f32(end - start) / (count - 1));
  return Array.from(
    { length: count },
    (_, i) => i < Math.floor(count / 2) ? f32(start + step * i) : f32(end - step * (count - 1 - i)),
  );
}

interface QuantizedAbsmax {
  readonly absmaxCodes: Uint8Array;
  readonly nestedAbsmax: Float32Array;
  /** The mean of all absmax values, taken off before they are quantised. */
  readonly nestedOffset: number;
}

/** bitsandbytes looks codes up in a table over [−1, 1], so that near a midpoint one may not be the nearest. */
const TABLE_SIZE = 65536;
let codeTable: Uint8Array | null = null;

/** For each of 65,536 even steps from −1 to 1 the code nearest to it; a tie goes to the lower one. */
function nearestCodes(): Uint8Array {
  if (codeTable !== null) return codeTable;
  const table = new Uint8Array(TABLE_SIZE);
  let code = 0;
  for (let i = 0; i < TABLE_SIZE; i++) {
    const value = f32(f32(2 * i / (TABLE_SIZE - 1)) - 1);
    while (code < 255 && f32(0.5 * f32(DYNAMIC_MAP[code]! + DYNAMIC_MAP[code + 1]!)) < value) code++;
    table[i] = code;
  }
  return codeTable = table;
}

/** Quantises absmax values as `quantize_4bit(…, compress_statistics=True)` does. */
export function quantizeAbsmax(absmax: Float32Array): QuantizedAbsmax {
  const nestedOffset = meanF32(absmax);
  const table = nearestCodes();
  const absmaxCodes = new Uint8Array(absmax.length);
  const nestedAbsmax = new Float32Array(Math.ceil(absmax.length / NESTED_BLOCK_SIZE));
  for (let block = 0; block < nestedAbsmax.length; block++) {
    const start = block * NESTED_BLOCK_SIZE;
    const end = Math.min(start + NESTED_BLOCK_SIZE, absmax.length);
    let largest = 0;
    for (let i = start; i < end; i++) largest = Math.max(largest, Math.abs(f32(absmax[i]! - nestedOffset)));
    nestedAbsmax[block] = largest;
    if (largest === 0) continue; // Code 0, as in bitsandbytes: times 0 it is the offset alone.
    const reciprocal = f32(1 / largest);
    for (let i = start; i < end; i++) {
      const value = Math.max(-1, Math.min(1, f32(f32(absmax[i]! - nestedOffset) * reciprocal)));
      // bitsandbytes fuses the multiplication by 65,535 and the addition: exact in f64, then rounded once.
      absmaxCodes[i] = table[Math.trunc(f32(f32(value + 1) * 0.5 * (TABLE_SIZE - 1) + 0.5))]!;
    }
  }
  return { absmaxCodes, nestedAbsmax, nestedOffset };
}

/** The decoded absmax values: DYNAMIC_MAP[code]·nestedAbsmax + nestedOffset, the product and the sum rounded to f32. */
export function dequantizeAbsmax(quantized: QuantizedAbsmax): Float32Array {
  const { absmaxCodes, nestedAbsmax, nestedOffset } = quantized;
  const absmax = new Float32Array(absmaxCodes.length);
  for (let i = 0; i < absmax.length; i++) {
    absmax[i] = f32(DYNAMIC_MAP[absmaxCodes[i]!]! * nestedAbsmax[i >> 8]!) + nestedOffset;
  }
  return absmax;
}
