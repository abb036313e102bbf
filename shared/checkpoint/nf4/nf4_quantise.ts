/**
 * NF4 quantisation, bit-equal to bitsandbytes on the CPU (`quantize_4bit(…, blocksize=64, quant_type="nf4")`), piece by piece
 * from wherever the weights are, so that neither the stored weight nor its f32 form is in memory as a whole.
 */
import { LoraFleetError } from "../../errors.ts";
import { bytesOf, type Dtype, toFloat32 } from "../../model/safetensors_dtype.ts";
import { NF4_MIDPOINTS, SMALLEST_ABSMAX } from "./codebook.ts";
import { NF4_BLOCK_SIZE, type Nf4Weights } from "./nf4.ts";
import { quantizeAbsmax } from "./nf4_absmax.ts";
import { KERNEL_WEIGHTS, type KernelDtype, nf4Kernel } from "./nf4_kernel.ts";

export interface QuantizeOptions {
  readonly rows: number;
  readonly columns: number;
  readonly doubleQuantization: boolean;
}

/** The types that can be quantised. */
export type WeightDtype = KernelDtype | "F64";

/** Weights as they are stored. */
export interface WeightSource {
  readonly dtype: WeightDtype;
  /** Fills `bytes` with weights in a row, little-endian, from number `first` on. */
  fill(bytes: Uint8Array<ArrayBuffer>, first: number): void;
}

export function canQuantize(dtype: Dtype): dtype is WeightDtype {
  return dtype === "F32" || dtype === "BF16" || dtype === "F16" || dtype === "F64";
}

/**
 * @param weights f32 [rows, columns], flattened row by row
 * @throws LoraFleetError `invalid_model` if a weight is NaN or infinite
 */
export function quantizeNf4(weights: Float32Array, options: QuantizeOptions): Nf4Weights {
  const { rows, columns } = options;
  if (weights.length !== rows * columns) {
    throw new RangeError(
      `weights has ${weights.length} elements, ${rows}×${columns} needs ${rows * columns}`,
    );
  }
  const bytes = new Uint8Array(weights.buffer, weights.byteOffset, weights.byteLength);
  const fill = (into: Uint8Array, first: number) =>
    into.set(bytes.subarray(4 * first, 4 * first + into.length));
  return quantizeFrom({ dtype: "F32", fill }, options);
}

/** Quantises a weight [rows, columns], flattened row by row. @throws LoraFleetError as `quantizeNf4`, and what `fill` throws */
export function quantizeFrom(stored: WeightSource, options: QuantizeOptions): Nf4Weights {
  const { rows, columns, doubleQuantization } = options;
  const [kernel, source] = [nf4Kernel(), forKernel(stored)];
  const count = rows * columns;
  const codes = new Uint8Array(Math.ceil(count / 2));
  const absmax = new Float32Array(Math.ceil(count / NF4_BLOCK_SIZE));
  const whole = count - count % NF4_BLOCK_SIZE;
  for (let first = 0; first < whole; first += KERNEL_WEIGHTS) {
    const weights = Math.min(KERNEL_WEIGHTS, whole - first);
    const blocks = weights / NF4_BLOCK_SIZE;
    source.fill(kernel.source.subarray(0, bytesOf(source.dtype, weights)), first);
    const done = kernel.quantise(source.dtype, blocks);
    if (done < blocks) assertFinite(source, first + done * NF4_BLOCK_SIZE, NF4_BLOCK_SIZE);
    codes.set(kernel.codes.subarray(0, weights / 2), first / 2);
    absmax.set(kernel.absmax.subarray(0, blocks), first / NF4_BLOCK_SIZE);
  }
  if (whole < count) quantizeTail(read(source, whole, count - whole), whole, codes, absmax);
  if (!doubleQuantization) {
    return { rows, columns, codes, absmax, absmaxCodes: null, nestedAbsmax: null, nestedOffset: 0 };
  }
  return { rows, columns, codes, absmax: null, ...quantizeAbsmax(absmax) };
}

/** f64, which hardly a model is stored in, becomes f32 on the way. */
function forKernel(source: WeightSource): WeightSource & { readonly dtype: KernelDtype } {
  const { dtype } = source;
  if (dtype !== "F64") return { dtype, fill: (bytes, first) => source.fill(bytes, first) };
  return {
    dtype: "F32",
    fill: (bytes, first) => {
      const doubles = new Float64Array(bytes.length / 4);
      source.fill(new Uint8Array(doubles.buffer), first);
      bytes.set(new Uint8Array(new Float32Array(doubles).buffer));
    },
  };
}

function read(source: WeightSource, first: number, count: number): Float32Array {
  const bytes = new Uint8Array(bytesOf(source.dtype, count));
  source.fill(bytes, first);
  return toFloat32(source.dtype, bytes)!;
}

/**
 * A short last block. bitsandbytes treats it differently: it divides instead of multiplying by the
 * reciprocal, stores the absmax after raising it to 1e-38, and pads an odd count with the code of 0.
 */
function quantizeTail(weights: Float32Array, start: number, codes: Uint8Array, absmax: Float32Array): void {
  const largest = Math.max(largestMagnitude(weights, start), SMALLEST_ABSMAX);
  absmax[absmax.length - 1] = largest;
  for (let i = start; i < codes.length * 2; i++) {
    const value = i - start < weights.length ? Math.fround(weights[i - start]! / largest) : 0;
    const code = NF4_MIDPOINTS.filter((midpoint) => value > midpoint).length;
    codes[i >> 1] = i % 2 === 0 ? code << 4 : codes[i >> 1]! | code;
  }
}

function assertFinite(source: WeightSource, first: number, count: number): void {
  largestMagnitude(read(source, first, count), first);
}

/** @param start the first weight's number in the whole */
function largestMagnitude(weights: Float32Array, start: number): number {
  let largest = 0;
  for (const weight of weights) {
    const magnitude = Math.abs(weight);
    // Written so that a NaN enters and stays.
    if (!(magnitude <= largest)) largest = magnitude;
    if (magnitude !== magnitude) break;
  }
  if (largest < Infinity) return largest;
  throw new LoraFleetError(
    "invalid_model",
    `Quantising to NF4 failed: a weight between elements ${start} and ${
      start + weights.length - 1
    } is ${largest}; ` +
      `all weights must be finite`,
  );
}
