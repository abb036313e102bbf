/** Reads safetensors files: the header is checked on opening, a tensor's bytes are read on demand. */
import { LoraFleetError, quote } from "../errors.ts";
import { bytesOf, toFloat32 } from "../model/safetensors_dtype.ts";
import { dataStartOf } from "../model/safetensors_file.ts";
import { invalidFile, parseHeader, type TensorInfo } from "../model/safetensors_header.ts";
import { readFailure } from "./read_failure.ts";
import { readInto } from "./read_into.ts";

/** Whole elements of every type. */
const PIECE_BYTES = 16 * 2 ** 20;

export interface SafetensorsFile {
  readonly path: string;
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  readonly metadata: Readonly<Record<string, string>>;
  /** The first byte after the header. */
  readonly dataStart: number;
  /**
   * A copy of a tensor's bytes, little-endian as in the file.
   * @throws LoraFleetError `invalid_model` if the file has no such tensor or was truncated since it was opened
   */
  read(name: string): Uint8Array<ArrayBuffer>;
  /**
   * A floating-point tensor in f32, flattened.
   * @throws LoraFleetError `invalid_model`, also if the tensor is not floating-point
   */
  readFloat32(name: string): Float32Array;
  /**
   * Elements `first` … `first + count − 1` of a floating-point tensor in f32: a large tensor piece by piece.
   * @throws as `readFloat32`
   */
  readFloat32Range(name: string, first: number, count: number): Float32Array;
  /**
   * A floating-point tensor's bytes in order, as they are stored; a piece is valid until the next one.
   * @throws as `readFloat32`
   */
  readPieces(name: string): Generator<Uint8Array<ArrayBuffer>>;
}

/**
 * Opens a file and checks its whole header; no handle stays open.
 * @throws LoraFleetError `model_not_found` if there is no such file, `invalid_model` if its header is damaged or wrong,
 * `storage` if it cannot be read
 */
export function openSafetensors(path: string): SafetensorsFile {
  const { header, dataStart } = withFile(path, (file) => {
    const { size } = file.statSync();
    const dataStart = dataStartOf(readExactly(path, file, 0, Math.min(8, size)), size, path);
    const json = readExactly(path, file, 8, dataStart - 8);
    return { header: parseHeader(path, json, size - dataStart), dataStart };
  });
  const find = (name: string): TensorInfo => {
    const info = header.tensors.get(name);
    if (info === undefined) throw invalidFile(path, `it has no tensor ${quote(name)}`);
    return info;
  };
  const read = (name: string) => {
    const { start, end } = find(name);
    return withFile(path, (file) => readExactly(path, file, dataStart + start, end - start));
  };
  const readFloat32 = (name: string) => {
    const { dtype } = find(name);
    const values = toFloat32(dtype, read(name));
    if (values === null) throw invalidFile(path, `tensor ${quote(name)} is ${dtype}, not floating-point`);
    return values;
  };
  const readFloat32Range = (name: string, first: number, count: number) => {
    const { dtype, start, end } = find(name);
    const [from, to] = [bytesOf(dtype, first), bytesOf(dtype, first + count)];
    if (first < 0 || start + to > end) {
      throw new RangeError(`tensor ${name}: elements ${first} … ${first + count - 1} are not all its own`);
    }
    const bytes = withFile(path, (file) => readExactly(path, file, dataStart + start + from, to - from));
    const values = toFloat32(dtype, bytes);
    if (values === null) throw invalidFile(path, `tensor ${quote(name)} is ${dtype}, not floating-point`);
    return values;
  };
  function* readPieces(name: string): Generator<Uint8Array<ArrayBuffer>> {
    const { dtype, start, end } = find(name);
    if (toFloat32(dtype, new Uint8Array()) === null) {
      throw invalidFile(path, `tensor ${quote(name)} is ${dtype}, not floating-point`);
    }
    const room = new Uint8Array(Math.min(PIECE_BYTES, end - start));
    for (let at = start; at < end; at += room.length) {
      const piece = room.subarray(0, Math.min(room.length, end - at));
      withFile(path, (file) => readInto(path, file, dataStart + at, piece));
      yield piece;
    }
  }
  const contents = { path, tensors: header.tensors, metadata: header.metadata, dataStart };
  return { ...contents, read, readFloat32, readFloat32Range, readPieces };
}

function withFile<T>(path: string, use: (file: Deno.FsFile) => T): T {
  try {
    using file = Deno.openSync(path);
    return use(file);
  } catch (cause) {
    if (cause instanceof LoraFleetError) throw cause;
    throw readFailure(path, cause);
  }
}

function readExactly(
  path: string,
  file: Deno.FsFile,
  position: number,
  count: number,
): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(count);
  readInto(path, file, position, bytes);
  return bytes;
}
