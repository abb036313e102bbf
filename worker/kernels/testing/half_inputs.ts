/** 16-bit floats for tests: numbers that both formats hold, and their f32. */
import { toFloat32 } from "../../../shared/model/safetensors_dtype.ts";
import type { HalfFormat } from "../elementwise/half_floats.ts";

const DTYPES = { bf16: "BF16", f16: "F16" } as const;

/** The f32 of 16-bit floats, as a checkpoint's reader converts them. */
export function floatsOf(format: HalfFormat, halves: Uint16Array<ArrayBuffer>): Float32Array {
  return toFloat32(DTYPES[format], new Uint8Array(halves.slice().buffer))!;
}

/** f32 cut off to the format. */
export function halvesOf(format: HalfFormat, values: Float32Array): Uint16Array<ArrayBuffer> {
  if (format === "f16") return new Uint16Array(new Float16Array(values).buffer);
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
  return Uint16Array.from(words, (word) => word >>> 16);
}

/** As many words as they fill, for a tensor. */
export function packed(halves: Uint16Array<ArrayBuffer>): Uint32Array {
  const words = new Uint32Array(Math.ceil(halves.length / 2));
  new Uint16Array(words.buffer).set(halves);
  return words;
}
