/**
 * GGUF version 3 (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md): metadata, the list of tensors, then their data,
 * each aligned. All numbers are little-endian.
 */

export const GGUF_ALIGNMENT = 32;
const VERSION = 3;

/** A typed value; the types are those that the metadata of a model needs. */
export type GgufValue =
  | { readonly type: "u32" | "f32"; readonly value: number }
  | { readonly type: "bool"; readonly value: boolean }
  | { readonly type: "string"; readonly value: string }
  | { readonly type: "strings"; readonly value: readonly string[] }
  | { readonly type: "bools"; readonly value: readonly boolean[] }
  | { readonly type: "i32s" | "f32s"; readonly value: readonly number[] };

export type GgufMetadata = readonly (readonly [key: string, value: GgufValue])[];

export interface GgufTensorInfo {
  readonly name: string;
  /** As in PyTorch: rows first. The file has the order reversed. */
  readonly shape: readonly number[];
  /** ggml's number of the type. */
  readonly typeId: number;
  readonly bytes: number;
}

const TYPE_IDS = { u32: 4, i32: 5, f32: 6, bool: 7, string: 8, array: 9 } as const;

/** Bytes up to the next aligned place. */
export function paddingAfter(bytes: number): number {
  return (GGUF_ALIGNMENT - bytes % GGUF_ALIGNMENT) % GGUF_ALIGNMENT;
}

/** Everything before the first tensor's data, padded. The data follow in the order of `tensors`, each padded. */
export function encodeGgufHeader(metadata: GgufMetadata, tensors: readonly GgufTensorInfo[]): Uint8Array {
  const out = new Bytes();
  out.raw(new TextEncoder().encode("GGUF"));
  out.u32(VERSION);
  out.u64(tensors.length);
  out.u64(metadata.length);
  for (const [key, value] of metadata) {
    out.text(key);
    writeValue(out, value);
  }
  let offset = 0;
  for (const { name, shape, typeId, bytes } of tensors) {
    out.text(name);
    out.u32(shape.length);
    for (const size of shape.toReversed()) out.u64(size);
    out.u32(typeId);
    out.u64(offset);
    offset += bytes + paddingAfter(bytes);
  }
  out.raw(new Uint8Array(paddingAfter(out.length)));
  return out.done();
}

/** Bytes of the whole file. */
export function ggufSize(header: Uint8Array, tensors: readonly GgufTensorInfo[]): number {
  return tensors.reduce((sum, { bytes }) => sum + bytes + paddingAfter(bytes), header.length);
}

function writeValue(out: Bytes, { type, value }: GgufValue): void {
  switch (type) {
    case "u32":
    case "f32":
      out.u32(TYPE_IDS[type]);
      return out[type](value);
    case "bool":
      out.u32(TYPE_IDS.bool);
      return out.raw(Uint8Array.of(value ? 1 : 0));
    case "string":
      out.u32(TYPE_IDS.string);
      return out.text(value);
    case "strings":
      writeArrayHead(out, TYPE_IDS.string, value.length);
      return value.forEach((text) => out.text(text));
    case "bools":
      writeArrayHead(out, TYPE_IDS.bool, value.length);
      return out.raw(Uint8Array.from(value, Number));
    case "i32s":
      writeArrayHead(out, TYPE_IDS.i32, value.length);
      return out.raw(new Uint8Array(Int32Array.from(value).buffer));
    case "f32s":
      writeArrayHead(out, TYPE_IDS.f32, value.length);
      return out.raw(new Uint8Array(Float32Array.from(value).buffer));
  }
}

function writeArrayHead(out: Bytes, typeId: number, length: number): void {
  out.u32(TYPE_IDS.array);
  out.u32(typeId);
  out.u64(length);
}

/** A growing buffer. */
class Bytes {
  #buffer = new Uint8Array(2 ** 16);
  length = 0;

  raw(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    this.#buffer.set(bytes, this.length);
    this.length += bytes.length;
  }

  u32(value: number): void {
    this.#reserve(4);
    new DataView(this.#buffer.buffer).setUint32(this.length, value, true);
    this.length += 4;
  }

  f32(value: number): void {
    this.#reserve(4);
    new DataView(this.#buffer.buffer).setFloat32(this.length, value, true);
    this.length += 4;
  }

  u64(value: number): void {
    this.#reserve(8);
    new DataView(this.#buffer.buffer).setBigUint64(this.length, BigInt(value), true);
    this.length += 8;
  }

  text(value: string): void {
    const bytes = new TextEncoder().encode(value);
    this.u64(bytes.length);
    this.raw(bytes);
  }

  done(): Uint8Array {
    return this.#buffer.subarray(0, this.length);
  }

  #reserve(count: number): void {
    if (this.length + count <= this.#buffer.length) return;
    const larger = new Uint8Array(Math.max(2 * this.#buffer.length, this.length + count));
    larger.set(this.#buffer.subarray(0, this.length));
    this.#buffer = larger;
  }
}
