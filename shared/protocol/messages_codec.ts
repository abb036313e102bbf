/** Control messages as JSON bytes: nothing from the wire is used before a schema has parsed it. */
import { z } from "zod";
import { LoraFleetError, quote } from "../errors.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true });

/** The message's bytes. The schema is not asked: what we send is typed. */
export function encodeMessage<S extends z.ZodType>(_schema: S, message: z.input<S>): Uint8Array {
  return encoder.encode(JSON.stringify(message));
}

/** Throws a `LoraFleetError` with code `corrupt` that names the message and the first field at fault. */
export function decodeMessage<S extends z.ZodType>(schema: S, data: Uint8Array, what: string): z.output<S> {
  let value: unknown;
  try {
    value = JSON.parse(decoder.decode(data));
  } catch (cause) {
    throw new LoraFleetError("corrupt", `${what}: ${data.byteLength} bytes that are not JSON`, { cause });
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const { path, message } = parsed.error.issues[0]!;
  const at = path.length === 0 ? "" : `${quote(path.join("."))}: `;
  throw new LoraFleetError("corrupt", `${what}: ${at}${message}`, { cause: parsed.error });
}

/**
 * f32 values bit for bit, NaN and infinities included, which JSON does not know: base64 of their little-endian bytes.
 */
export const floatsSchema = z.string().regex(/^[A-Za-z0-9+/]*={0,2}$/).refine(
  (text) => text.length % 4 === 0 && decodedLength(text) % 4 === 0,
  { error: "base64 of whole f32 values is needed" },
);

export function encodeFloats(values: Float32Array): string {
  const view = new DataView(new ArrayBuffer(4 * values.length));
  values.forEach((value, i) => view.setFloat32(4 * i, value, true));
  return new Uint8Array(view.buffer).toBase64();
}

/** Takes what `floatsSchema` has accepted. */
export function decodeFloats(text: string): Float32Array {
  const bytes = Uint8Array.fromBase64(text);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Float32Array.from({ length: bytes.byteLength / 4 }, (_, i) => view.getFloat32(4 * i, true));
}

function decodedLength(text: string): number {
  return text.length / 4 * 3 - (text.endsWith("==") ? 2 : text.endsWith("=") ? 1 : 0);
}

/** Whole checksums of two 32-bit words each (linear_check.ts): base64 of their little-endian bytes. */
export const checksumsSchema = z.string().regex(/^[A-Za-z0-9+/]*={0,2}$/).refine(
  (text) => text.length % 4 === 0 && decodedLength(text) % 8 === 0,
  { error: "base64 of whole checksums is needed" },
);

export function encodeChecksums(words: Int32Array): string {
  const view = new DataView(new ArrayBuffer(4 * words.length));
  words.forEach((word, i) => view.setInt32(4 * i, word, true));
  return new Uint8Array(view.buffer).toBase64();
}

/** Takes what `checksumsSchema` has accepted. */
export function decodeChecksums(text: string): Int32Array {
  const bytes = Uint8Array.fromBase64(text);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Int32Array.from({ length: bytes.byteLength / 4 }, (_, i) => view.getInt32(4 * i, true));
}
