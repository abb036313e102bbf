/** Forms that carry a file: checks before the first part, and errors that name a field. */
import type { Context } from "hono";
import { LoraFleetError, quote } from "../../../shared/errors.ts";
import { HttpError } from "./errors.ts";
import { boundaryOf, type Part, readMultipart } from "./multipart.ts";

/** Room for the other fields and the boundaries. */
const FORM_OVERHEAD_BYTES = 64 * 1024;

/**
 * The parts of a form whose file has at most `maxBytes`. Before reading, throws 415 if the body is not a form and 413 if its
 * announced length is too large. If no length is announced, the caller must count.
 * @param fields the form's fields, for messages
 */
export function readForm(c: Context, maxBytes: number, fields: string): AsyncGenerator<Part> {
  const contentType = c.req.header("content-type") ?? "";
  const boundary = boundaryOf(contentType);
  if (boundary === null || c.req.raw.body === null) {
    const message = `the body has the content type ${quote(contentType)}; "multipart/form-data" with the ` +
      `fields ${fields} is needed`;
    throw new HttpError(415, "unsupported_media_type", message);
  }
  if (Number(c.req.header("content-length") ?? 0) > maxBytes + FORM_OVERHEAD_BYTES) {
    const message = `the file is larger than ${maxBytes} bytes, which is the limit`;
    throw new HttpError(413, "file_too_large", message, "file");
  }
  return readMultipart(c.req.raw.body, boundary);
}

/** The error of an invalid field of a form. */
export function invalidField(field: string, what: string): LoraFleetError {
  return new LoraFleetError("invalid_request", `the form's field ${quote(field)} ${what}`, { param: field });
}
