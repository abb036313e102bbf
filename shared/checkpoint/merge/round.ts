/** f32 values as the bytes of a checkpoint's type, rounded to nearest even as torch does. */
import type { Dtype } from "../../model/safetensors_dtype.ts";

/** The types that a merged model can have, by transformers' names. */
export const MERGED_DTYPES = ["bfloat16", "float16", "float32"] as const;
export type MergedDtype = typeof MERGED_DTYPES[number];

interface Rounding {
  readonly dtype: Dtype;
  readonly bytes: number;
  /** The result is valid until the next call. */
  readonly round: (values: Float32Array) => Uint8Array;
  /** The largest finite value. */
  readonly max: number;
}

export const ROUNDINGS: Readonly<Record<MergedDtype, Rounding>> = {
  bfloat16: { dtype: "BF16", bytes: 2, max: 3.3895313892515355e38, round: toBfloat16 },
  float16: {
    ...{ dtype: "F16", bytes: 2, max: 65504 },
    round: (values) => bytesOf(new Float16Array(values)),
  },
  float32: { dtype: "F32", bytes: 4, max: 3.4028234663852886e38, round: bytesOf },
};

function bytesOf({ buffer, byteOffset, byteLength }: Float32Array | Float16Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}

/** Adds half of the dropped bits' range, and to a tie the last kept bit, so that it goes to the even side. */
function toBfloat16(values: Float32Array): Uint8Array {
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const halves = new Uint16Array(values.length);
  for (let i = 0; i < words.length; i++) {
    const word = words[i]!;
    halves[i] = (word + 0x7fff + ((word >>> 16) & 1)) >>> 16;
  }
  return new Uint8Array(halves.buffer);
}
