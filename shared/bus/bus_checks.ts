/** What every implementation of the bus needs. */
import { LoraFleetError, quote } from "../errors.ts";

/** Throws a `LoraFleetError` with code `invalid_request` for a message above the broker's maximum. */
export function assertPayload(subject: string, data: Uint8Array, maxPayloadBytes: number): void {
  if (data.length <= maxPayloadBytes) return;
  throw new LoraFleetError(
    "invalid_request",
    `a message to ${quote(subject)} has ${data.length} bytes; the broker takes at most ${maxPayloadBytes}`,
    { param: "data" },
  );
}

/** The same bytes as a plain `Uint8Array`: sockets give Node's `Buffer`, and its `slice` is no copy. */
export function plainBytes(data: Uint8Array): Uint8Array {
  return data.constructor === Uint8Array
    ? data
    : new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}
