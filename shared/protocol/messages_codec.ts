/** Control messages as JSON bytes: nothing from the wire is used before a schema has parsed it. */
import { z } from "zod";
import { LoraFleetError, quote } from "../errors.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true });

/** The schema serves the type alone: what we send is not validated. */
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

/** Little-endian 32-bit words in base64, as many as fill whole values of `valueBytes` bytes. */
function base64Schema(valueBytes: number, what: string) {
  return z.string().regex(/^[A-Za-z0-9+/]*={0,2}$/).refine(
    (text) => text.length % 4 === 0 && decodedLength(text) % valueBytes === 0,
    { error: `base64 of whole ${what} is needed` },
  );
}

function decodedLength(text: string): number {
  return text.length / 4 * 3 - (text.endsWith("==") ? 2 : text.endsWith("=") ? 1 : 0);
}

/** f32 values bit for bit, NaN and infinities included, which JSON does not know. */
export const floatsSchema = base64Schema(4, "f32 values");
/** Checksums of two 32-bit words each (linear_check.ts). */
export const checksumsSchema = base64Schema(8, "checksums");

export function encodeFloats(values: Float32Array): string {
  const view = new DataView(new ArrayBuffer(4 * values.length));
  values.forEach((value, i) => view.setFloat32(4 * i, value, true));
  return new Uint8Array(view.buffer).toBase64();
}

/** Takes what `floatsSchema` has accepted. */
export function decodeFloats(text: string): Float32Array {
  const view = viewOf(text);
  return Float32Array.from({ length: view.byteLength / 4 }, (_, i) => view.getFloat32(4 * i, true));
}

export function encodeChecksums(words: Int32Array): string {
  const view = new DataView(new ArrayBuffer(4 * words.length));
  words.forEach((word, i) => view.setInt32(4 * i, word, true));
  return new Uint8Array(view.buffer).toBase64();
}

/** Takes what `checksumsSchema` has accepted. */
export function decodeChecksums(text: string): Int32Array {
  const view = viewOf(text);
  return Int32Array.from({ length: view.byteLength / 4 }, (_, i) => view.getInt32(4 * i, true));
}

function viewOf(base64: string): DataView {
  return new DataView(Uint8Array.fromBase64(base64).buffer);
}
