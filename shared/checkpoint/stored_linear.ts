/**
 * Quantises one linear layer's weight from its file, piece by piece: memory holds the result and a few megabytes. Knows the
 * tensor's place alone, so that a thread need not open the whole base model.
 */
import { invalidFile, LoraFleetError, quote } from "../errors.ts";
import { bytesOf, toFloat32 } from "../model/safetensors_dtype.ts";
import type { StoredTensor } from "../model/safetensors_file.ts";
import { type LowRank, subtractStart } from "./low_rank.ts";
import type { Nf4Weights } from "./nf4/nf4.ts";
import { canQuantize, quantizeFrom, type QuantizeOptions, type WeightSource } from "./nf4/nf4_quantise.ts";
import { readFailure } from "./read_failure.ts";
import { readInto } from "./read_into.ts";

/** A weight's place on disk, and its name there, which errors mention. */
export interface StoredLinear {
  readonly name: string;
  readonly tensor: StoredTensor;
}

/**
 * @param start is taken from the weight before; left out: nothing is
 * @throws LoraFleetError `invalid_model` naming tensor and file for a weight that is not finite, a type that is not floating-point
 * or a file that was truncated meanwhile; `model_not_found` or `storage` for a file that cannot be read
 */
export function quantizeStored(
  { name, tensor }: StoredLinear,
  options: QuantizeOptions,
  start?: LowRank | null,
): Nf4Weights {
  const { path, dtype, from } = tensor;
  if (!canQuantize(dtype)) throw invalidFile(path, `tensor ${quote(name)} is ${dtype}, not floating-point`);
  try {
    using file = Deno.openSync(path);
    const fill = (bytes: Uint8Array<ArrayBuffer>, first: number) =>
      readInto(path, file, from + bytesOf(dtype, first), bytes);
    const source = { dtype, fill };
    return quantizeFrom(start ? residualOf(source, start) : source, options);
  } catch (cause) {
    if (!(cause instanceof LoraFleetError)) throw readFailure(path, cause);
    if (cause.param !== null) throw cause;
    throw invalidFile(path, `tensor ${quote(name)}: ${cause.message}`, { param: name, cause });
  }
}

/** What `start` leaves of a weight, in f32. */
function residualOf({ dtype, fill }: WeightSource, start: LowRank): WeightSource {
  return {
    dtype: "F32",
    fill: (bytes, first) => {
      const stored = new Uint8Array(bytesOf(dtype, bytes.length / 4));
      fill(stored, first);
      const values = toFloat32(dtype, stored)!;
      subtractStart(values, start, first);
      bytes.set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
    },
  };
}
