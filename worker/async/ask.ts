/** Requests that are repeated until they are answered. */
import type { z } from "zod";
import type { Bus } from "../../shared/bus/bus.ts";
import type { Clock } from "../../shared/clock.ts";
import { LoraFleetError } from "../../shared/errors.ts";
import { decodeMessage } from "../../shared/protocol/messages_codec.ts";
import { unlessAborted } from "./abortable.ts";

/** A request that fails at once must not be repeated at once. */
const PAUSE_MS = 50;

export interface Request {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly subject: string;
  readonly data: Uint8Array;
  /** For one try. */
  readonly timeoutMs: number;
  /** Ends the repetition. */
  readonly signal: AbortSignal;
}

export interface Question<S extends z.ZodType> extends Request {
  readonly answer: S;
}

/** The answer in JSON; otherwise as `askUntilRead`. */
export function askUntilAnswered<S extends z.ZodType>(question: Question<S>): Promise<z.output<S>> {
  const { answer, subject } = question;
  return askUntilRead(question, (data) => decodeMessage(answer, data, `the answer on ${subject}`));
}

/**
 * The first answer that can be read: `read` throws code `corrupt` for one that cannot. Rejects with the signal's reason, with
 * code `aborted` when the bus is closed, or with whatever else `read` throws.
 */
export async function askUntilRead<T>(request: Request, read: (data: Uint8Array) => T): Promise<T> {
  const { bus, clock, subject, data, timeoutMs, signal } = request;
  for (;;) {
    signal.throwIfAborted();
    try {
      return read(await unlessAborted(bus.request(subject, data, timeoutMs), signal));
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
