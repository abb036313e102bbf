/** Reads request bodies, with limits. */
import type { Context } from "hono";
import type { z } from "zod";
import { LoraFleetError, messageOf, quote } from "../../../shared/errors.ts";
import { HttpError, invalidInput } from "./errors.ts";

const MAX_OBJECT_BYTES = 10_000;

/** Collects a stream as text. Throws 413 if it is longer than `maxBytes`. */
export async function readText(body: AsyncIterable<Uint8Array>, maxBytes: number): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  let size = 0;
  for await (const chunk of body) {
    size += chunk.byteLength;
    if (size > maxBytes) throw tooLarge(maxBytes);
    text += decoder.decode(chunk, { stream: true });
  }
  return text + decoder.decode();
}

function tooLarge(maxBytes: number): HttpError {
  return new HttpError(413, "body_too_large", `the body has more than ${maxBytes} bytes, which is the limit`);
}

/** The request's JSON. Throws 415 unless the content type is JSON, 413, and `invalid_request`. */
export async function readJson(c: Context, maxBytes: number): Promise<unknown> {
  const contentType = c.req.header("content-type") ?? "";
  if (!/^application\/json\s*(;|$)/i.test(contentType)) {
    const message = `the body has the content type ${quote(contentType)}; "application/json" is needed`;
    throw new HttpError(415, "unsupported_media_type", message);
  }
  // Refuses before reading.
  if (Number(c.req.header("content-length") ?? 0) > maxBytes) throw tooLarge(maxBytes);
  const text = c.req.raw.body === null ? "" : await readText(c.req.raw.body, maxBytes);
  try {
    return JSON.parse(text);
  } catch (thrown) {
    throw new LoraFleetError("invalid_request", `the body is not JSON: ${messageOf(thrown)}`);
  }
}

/** A small JSON body. Throws as `readJson`, and `invalid_request` with the field at fault. */
export async function readObject<S extends z.ZodType>(
  c: Context,
  schema: S,
  maxBytes = MAX_OBJECT_BYTES,
): Promise<z.output<S>> {
  const body = await readJson(c, maxBytes);
  const parsed = schema.safeParse(body);
  if (parsed.success) return parsed.data;
  throw invalidInput(parsed.error, "field", body);
}
