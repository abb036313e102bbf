/**
 * NF4 quantisation, bit-equal to bitsandbytes on the CPU (`quantize_4bit(…, blocksize=64, quant_type="nf4")`): weights in
 * blocks of 64 share one absmax, each weight becomes one of 16 values between −1 and 1.
 *
 * With double quantisation the absmax values are themselves quantised to 8 bits (nf4_absmax.ts).
 */
import { LoraFleetError } from "../../../shared/errors.ts";
import { NF4_CODEBOOK } from "../../../shared/checkpoint/nf4/codebook.ts";
import { NF4_BLOCK_SIZE, type Nf4Weights } from "../../../shared/checkpoint/nf4/nf4.ts";
import { quantizeAbsmax } from "../../../shared/checkpoint/nf4/nf4_absmax.ts";

/** The smallest divisor that bitsandbytes uses, as f32: an all-zero block must not divide by zero. */
const SMALLEST_ABSMAX = Math.fround(1e-38);

/** [−1, 1] in cells of 1/16, narrower than the distance of any two midpoints: at most one midpoint lies in each. */
const CELL_COUNT = 33;
/** The code of a cell's low end. */
const CELL_CODE = new Uint8Array(CELL_COUNT);
/** Above this value the code is one higher; 2 if the cell holds no midpoint. */
const CELL_MIDPOINT = new Float32Array(CELL_COUNT).fill(2);
for (let code = 0; code < 15; code++) {
  const midpoint = Math.fround((NF4_CODEBOOK[code]! + NF4_CODEBOOK[code + 1]!) / 2);
  const cell = Math.floor((midpoint + 1) * 16);
  CELL_MIDPOINT[cell] = midpoint;
  CELL_CODE.fill(code + 1, cell + 1);
}

/**
 * @param weights f32 [rows, columns], flattened row by row
 * @throws LoraFleetError `invalid_model` if a weight is NaN or infinite
 */
export function quantizeNf4(
  weights: Float32Array,
  options: { readonly rows: number; readonly columns: number; readonly doubleQuantization: boolean },
): Nf4Weights {
  const { rows, columns, doubleQuantization } = options;
  const count = rows * columns;
  if (weights.length !== count) {
    throw new RangeError(`weights has ${weights.length} elements, ${rows}×${columns} needs ${count}`);
  }
  const codes = new Uint8Array(Math.ceil(count / 2));
  const absmax = new Float32Array(Math.ceil(count / NF4_BLOCK_SIZE));
  const fullBlocks = Math.floor(count / NF4_BLOCK_SIZE);
  for (let block = 0; block < fullBlocks; block++) {
    const start = block * NF4_BLOCK_SIZE;
    const largest = largestMagnitude(weights, start, start + NF4_BLOCK_SIZE);
    absmax[block] = largest;
    const reciprocal = Math.fround(1 / Math.max(largest, SMALLEST_ABSMAX));
    for (let i = start; i < start + NF4_BLOCK_SIZE; i += 2) {
      const even = Math.max(-1, Math.min(1, Math.fround(weights[i]! * reciprocal)));
      const odd = Math.max(-1, Math.min(1, Math.fround(weights[i + 1]! * reciprocal)));
      const evenCell = (even + 1) * 16 | 0;
      const oddCell = (odd + 1) * 16 | 0;
      const evenCode = CELL_CODE[evenCell]! + (even > CELL_MIDPOINT[evenCell]! ? 1 : 0);
      const oddCode = CELL_CODE[oddCell]! + (odd > CELL_MIDPOINT[oddCell]! ? 1 : 0);
      codes[i >> 1] = evenCode << 4 | oddCode;
    }
  }
  if (fullBlocks < absmax.length) quantizeTail(weights, fullBlocks * NF4_BLOCK_SIZE, codes, absmax);
  if (!doubleQuantization) {
    return { rows, columns, codes, absmax, absmaxCodes: null, nestedAbsmax: null, nestedOffset: 0 };
  }
  return { rows, columns, codes, absmax: null, ...quantizeAbsmax(absmax) };
}

/**
 * A short last block. bitsandbytes treats it differently: it divides instead of multiplying by the
 * reciprocal, stores the absmax after raising it to 1e-38, and pads an odd count with the code of 0.
 */
function quantizeTail(weights: Float32Array, start: number, codes: Uint8Array, absmax: Float32Array): void {
  const largest = Math.max(largestMagnitude(weights, start, weights.length), SMALLEST_ABSMAX);
  absmax[absmax.length - 1] = largest;
  for (let i = start; i < codes.length * 2; i++) {
    const value = i < weights.length ? Math.max(-1, Math.min(1, Math.fround(weights[i]! / largest))) : 0;
    const cell = (value + 1) * 16 | 0;
    const code = CELL_CODE[cell]! + (value > CELL_MIDPOINT[cell]! ? 1 : 0);
    codes[i >> 1] = i % 2 === 0 ? code << 4 : codes[i >> 1]! | code;
  }
}

function largestMagnitude(weights: Float32Array, start: number, end: number): number {
  let largest = 0;
  for (let i = start; i < end; i++) {
    const magnitude = Math.abs(weights[i]!);
    // Written so that a NaN enters and stays.
    if (!(magnitude <= largest)) largest = magnitude;
    if (magnitude !== magnitude) break;
  }
  if (largest < Infinity) return largest;
  throw new LoraFleetError(
    "invalid_model",
    `Quantising to NF4 failed: a weight between elements ${start} and ${end - 1} is ${largest}; ` +
      `all weights must be finite`,
  );
}
