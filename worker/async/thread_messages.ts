/** What messages between threads are made of: errors, and arrays that are transferred. */
import { LoraFleetError, messageOf } from "../../shared/errors.ts";

/** An error in a form that survives structured cloning. */
export type ThreadFailure = Pick<LoraFleetError, "code" | "message" | "param">;

/** The cloneable form of any error; anything but a `LoraFleetError` counts as `gpu_failure`. */
export function failureOf(thrown: unknown): ThreadFailure {
  if (!(thrown instanceof LoraFleetError)) {
    return { code: "gpu_failure", message: messageOf(thrown), param: null };
  }
  const { code, message, param } = thrown;
  return { code, message, param };
}

/** Restores the error in the receiving thread. */
export function errorOf({ code, message, param }: ThreadFailure): LoraFleetError {
  return new LoraFleetError(code, message, param === null ? {} : { param });
}

/** The buffers of a message's arrays, which can be transferred instead of copied. */
export function buffersIn(value: unknown): ArrayBuffer[] {
  if (ArrayBuffer.isView(value)) return value.buffer instanceof ArrayBuffer ? [value.buffer] : [];
  if (value === null || typeof value !== "object") return [];
  return [...new Set(Object.values(value).flatMap(buffersIn))];
}
