/** Writes safetensors files with the same bytes as the reference implementation, whole or not at all. */
import { bytesOf, type Dtype, orderOf } from "../model/safetensors_dtype.ts";
import { type FileSystem, writeFilesAtomically } from "./atomic_file.ts";

export interface TensorData {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  /** Little-endian elements, the byte order of all machines that run WebGPU. */
  readonly data: Uint8Array | Float32Array;
}

/**
 * Writes `tensors` as `encodeSafetensors` lays them out.
 * @throws LoraFleetError `storage` if writing fails; nothing is left behind, and an older file stays as it was
 */
export async function writeSafetensors(
  path: string,
  tensors: readonly TensorData[],
  metadata?: Readonly<Record<string, string>>,
  fileSystem?: FileSystem,
): Promise<void> {
  await writeFilesAtomically([{ path, parts: encodeSafetensors(tensors, metadata) }], fileSystem);
}

/**
 * A file's bytes, in parts: tensors in the reference implementation's order (types from the end of its list, then names),
 * and a header padded with spaces to a multiple of 8, so that equal tensors give equal files. Tensor data is not copied.
 */
export function encodeSafetensors(
  tensors: readonly TensorData[],
  metadata: Readonly<Record<string, string>> = { format: "pt" },
): Uint8Array[] {
  const sorted = tensors.toSorted((a, b) =>
    orderOf(b.dtype) - orderOf(a.dtype) || (a.name < b.name ? -1 : Number(a.name > b.name))
  );
  let position = 0;
  const entries: [name: string, value: unknown][] = [["__metadata__", metadata]];
  sorted.forEach(({ name, dtype, shape, data }, i) => {
    if (name === "__metadata__" || name === sorted[i - 1]?.name) {
      throw new RangeError(`encoding tensors: the name ${name} is taken or reserved`);
    }
    const needed = bytesOf(dtype, shape.reduce((product, size) => product * size, 1));
    if (data.byteLength !== needed) {
      throw new RangeError(
        `${name}: ${data.byteLength} bytes, ${dtype} [${shape.join(", ")}] needs ${needed}`,
      );
    }
    entries.push([name, { dtype, shape, data_offsets: [position, position += needed] }]);
  });
  // Not JSON.stringify of one object: it would move names that look like numbers to the front.
  const members = entries.map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`);
  const header = new TextEncoder().encode(`{${members.join(",")}}`);
  const prefix = new Uint8Array(8 + Math.ceil(header.length / 8) * 8).fill(0x20);
  new DataView(prefix.buffer).setBigUint64(0, BigInt(prefix.length - 8), true);
  prefix.set(header, 8);
  const parts = sorted.map(({ data }) => new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  return [prefix, ...parts];
}
