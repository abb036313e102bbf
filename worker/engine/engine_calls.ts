/** The messages between a worker's main thread and its engine thread: one call, one answer. */
import { LoraFleetError, messageOf } from "../../shared/errors.ts";
import type { Engine } from "./engine.ts";

/** A call of one of the engine's methods. */
export type EngineCall = {
  [K in keyof Engine]: { readonly id: number; readonly method: K; readonly args: Parameters<Engine[K]> };
}[keyof Engine];

export type EngineAnswer =
  | { readonly id: number; readonly ok: true; readonly value: unknown }
  | { readonly id: number; readonly ok: false; readonly error: EngineFailure };

/** An error in a form that survives structured cloning. */
type EngineFailure = Pick<LoraFleetError, "code" | "message" | "param">;

/** The cloneable form of any error; anything but a `LoraFleetError` counts as `gpu_failure`. */
export function failureOf(thrown: unknown): EngineFailure {
  if (!(thrown instanceof LoraFleetError)) {
    return { code: "gpu_failure", message: messageOf(thrown), param: null };
  }
  const { code, message, param } = thrown;
  return { code, message, param };
}

/** Restores the error in the receiving thread. */
export function errorOf({ code, message, param }: EngineFailure): LoraFleetError {
  return new LoraFleetError(code, message, param === null ? {} : { param });
}

/** The buffers of a message's arrays, which can be transferred instead of copied. */
export function buffersIn(value: unknown): ArrayBuffer[] {
  if (ArrayBuffer.isView(value)) return value.buffer instanceof ArrayBuffer ? [value.buffer] : [];
  if (value === null || typeof value !== "object") return [];
  return [...new Set(Object.values(value).flatMap(buffersIn))];
}
