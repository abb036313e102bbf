/** Requests that are repeated until they are answered. */
import type { z } from "zod";
import type { Bus } from "../../shared/bus/bus.ts";
import { LoraFleetError } from "../../shared/errors.ts";
import { decodeMessage } from "../../shared/protocol/messages_codec.ts";
import { unlessAborted } from "./abortable.ts";
import type { Runtime } from "./runtime.ts";

/** A request that fails at once must not be repeated at once. */
const PAUSE_MS = 50;

/** Each try may take `limits.requestTimeoutMs`; `signal` ends the repetition. */
export interface Request extends Pick<Runtime, "clock" | "limits"> {
  readonly bus: Bus;
  readonly subject: string;
  readonly data: Uint8Array;
  readonly signal: AbortSignal;
}

/** The JSON answer; otherwise as `askUntilRead`. */
export function askUntilAnswered<S extends z.ZodType>(request: Request, answer: S): Promise<z.output<S>> {
  return askUntilRead(request, (data) => decodeMessage(answer, data, `the answer on ${request.subject}`));
}

/**
 * The first readable answer: `read` throws code `corrupt` for an unreadable one. Rejects with the signal's reason, with code
 * `aborted` when the bus is closed, or with any other error of `read`.
 */
export async function askUntilRead<T>(request: Request, read: (data: Uint8Array) => T): Promise<T> {
  const { bus, clock, limits, subject, data, signal } = request;
  for (;;) {
    signal.throwIfAborted();
    try {
      return read(await unlessAborted(bus.request(subject, data, limits.requestTimeoutMs), signal));
    } catch (thrown) {
      signal.throwIfAborted();
      if (!isRetryable(thrown)) throw thrown;
    }
    await clock.sleep(PAUSE_MS, signal);
  }
}

/** Whether the same request may succeed later: it was not answered, or its answer was damaged. */
export function isRetryable(thrown: unknown): boolean {
  return thrown instanceof LoraFleetError && (thrown.code === "timeout" || thrown.code === "corrupt");
}
