/** What every implementation of the bus refuses in the same words. */
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
