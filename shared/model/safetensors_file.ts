/** Safetensors files on disk: a file's header, and whether two stored tensors hold the same values. */
import { LoraFleetError, messageOf, quote } from "../errors.ts";
import { type Dtype, toFloat32 } from "./safetensors_dtype.ts";
import { invalidFile, MAX_HEADER_BYTES, parseHeader, type SafetensorsHeader } from "./safetensors_header.ts";

/** A tensor's place on disk. */
export interface StoredTensor {
  readonly path: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  /** First byte and one past the last, from the beginning of the file. */
  readonly from: number;
  readonly to: number;
}

/** Tensors are compared in pieces of this many elements, so that two gigabytes cost little memory. */
const PIECE_ELEMENTS = 2 ** 20;

/** The file's name without its folders: errors must not show users the machine's paths. */
const nameOf = (path: string) => path.slice(Math.max(path.lastIndexOf("/"), path.lastIndexOf("\\")) + 1);

/** Reads and checks a file's header. Rejects with `invalid_model`; the error calls the file `name`. */
export async function readSafetensorsHeader(
  path: string,
  name = path,
): Promise<SafetensorsHeader & { readonly dataStart: number }> {
  const file = await open(path, name);
  try {
    const { size } = await file.stat();
    const dataStart = dataStartOf(await readExactly(file, 0, Math.min(8, size), name), size, name);
    const header = await readExactly(file, 8, dataStart - 8, name);
    return { ...parseHeader(name, header, size - dataStart), dataStart };
  } finally {
    file.close();
  }
}

/**
 * The first byte after the header.
 * @param prefix the file's first 8 bytes: the header's length
 * @throws LoraFleetError `invalid_model` if the header is longer than the file or than the format allows
 */
export function dataStartOf(prefix: Uint8Array<ArrayBuffer>, fileSize: number, name: string): number {
  if (fileSize < 8) throw invalidFile(name, `it has ${fileSize} bytes, a safetensors file has at least 8`);
  const headerSize = new DataView(prefix.buffer).getBigUint64(0, true);
  if (headerSize <= MAX_HEADER_BYTES && 8 + Number(headerSize) <= fileSize) return 8 + Number(headerSize);
  throw invalidFile(
    name,
    `it claims a header of ${headerSize} bytes, but has ${fileSize} in all (a header has at most ${MAX_HEADER_BYTES}): ` +
      `it is truncated or not a safetensors file`,
  );
}

/**
 * Whether two tensors have the same shape and the same values, compared as f32 if their types differ. Rejects with
 * `invalid_model` if a file ends early or a tensor is not floating-point.
 */
export async function haveSameValues(a: StoredTensor, b: StoredTensor): Promise<boolean> {
  if (a.shape.length !== b.shape.length || a.shape.some((size, i) => size !== b.shape[i])) return false;
  const count = a.shape.reduce((product, size) => product * size, 1);
  const files = await Promise.all([a, b].map(({ path }) => open(path, nameOf(path))));
  try {
    for (let first = 0; first < count; first += PIECE_ELEMENTS) {
      const last = Math.min(first + PIECE_ELEMENTS, count);
      const [left, right] = await Promise.all(
        [a, b].map((tensor, i) => readPiece(files[i]!, tensor, count, first, last)),
      );
      if (a.dtype === b.dtype && sameBytes(left!, right!)) continue;
      if (!sameFloats(floatsOf(a, left!), floatsOf(b, right!))) return false;
    }
    return true;
  } finally {
    for (const file of files) file.close();
  }
}

/** A small tensor's bytes. Rejects as `haveSameValues`. */
export async function readStored({ path, from, to }: StoredTensor): Promise<Uint8Array<ArrayBuffer>> {
  const file = await open(path, nameOf(path));
  try {
    return await readExactly(file, from, to - from, nameOf(path));
  } finally {
    file.close();
  }
}

/** Whether any element of a tensor is not 0 (nor -0). Rejects as `haveSameValues`. */
export async function hasOtherThanZero(tensor: StoredTensor): Promise<boolean> {
  const count = tensor.shape.reduce((product, size) => product * size, 1);
  const file = await open(tensor.path, nameOf(tensor.path));
  try {
    for (let first = 0; first < count; first += PIECE_ELEMENTS) {
      const piece = await readPiece(file, tensor, count, first, Math.min(first + PIECE_ELEMENTS, count));
      if (floatsOf(tensor, piece).some((value) => value !== 0)) return true;
    }
    return false;
  } finally {
    file.close();
  }
}

function readPiece(
  file: Deno.FsFile,
  { path, from, to }: StoredTensor,
  count: number,
  first: number,
  last: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const width = (to - from) / count;
  return readExactly(file, from + first * width, (last - first) * width, nameOf(path));
}

function floatsOf({ path, dtype }: StoredTensor, bytes: Uint8Array<ArrayBuffer>): Float32Array {
  const values = toFloat32(dtype, bytes);
  if (values === null) throw invalidFile(nameOf(path), `a tensor is ${dtype}, not floating-point`);
  return values;
}

/** Compares word by word: a callback per byte would take seconds for a gigabyte. */
function sameBytes(a: Uint8Array<ArrayBuffer>, b: Uint8Array<ArrayBuffer>): boolean {
  if (a.length !== b.length) return false;
  const count = Math.floor(a.length / 4);
  const [left, right] = [new Int32Array(a.buffer, 0, count), new Int32Array(b.buffer, 0, count)];
  for (let i = 0; i < count; i++) if (left[i] !== right[i]) return false;
  for (let i = 4 * count; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** Compares as torch does: 0 equals -0, NaN equals nothing. */
function sameFloats(a: Float32Array, b: Float32Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

async function open(path: string, name: string): Promise<Deno.FsFile> {
  try {
    return await Deno.open(path);
  } catch (cause) {
    if (cause instanceof Deno.errors.NotFound) throw invalidFile(name, "there is no such file", { cause });
    throw new LoraFleetError("storage", `Reading ${quote(name)} failed: ${messageOf(cause)}`, { cause });
  }
}

async function readExactly(
  file: Deno.FsFile,
  position: number,
  count: number,
  name: string,
): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(count);
  await file.seek(position, Deno.SeekMode.Start);
  let done = 0;
  while (done < count) {
    const read = await file.read(bytes.subarray(done));
    if (read === null) throw invalidFile(name, `it ends after byte ${position + done}: it is truncated`);
    done += read;
  }
  return bytes;
}
