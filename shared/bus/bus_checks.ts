/** What every implementation of the bus needs: refusals in the same words, bytes of the same class. */
import { LoraFleetError, quote } from "../errors.ts";

/** Throws a `LoraFleetError` with code `invalid_request` for a message that the broker would not take. */
export function assertPayload(subject: string, data: Uint8Array, maxPayloadBytes: number): void {
  if (data.length <= maxPayloadBytes) return;
  throw new LoraFleetError(
    "invalid_request",
    `a message to ${quote(subject)} has ${data.length} bytes; the broker takes ${maxPayloadBytes} at most`,
    { param: "data" },
  );
}

/** The same bytes as a plain `Uint8Array`: a socket gives Node's `Buffer`, whose `slice` is no copy. */
export function plainBytes(data: Uint8Array): Uint8Array {
  return data.constructor === Uint8Array
    ? data
    : new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}
