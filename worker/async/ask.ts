/** Requests to the coordinator that are repeated until they are answered. */
import type { z } from "zod";
import type { Bus } from "../../shared/bus/bus.ts";
import type { Clock } from "../../shared/clock.ts";
import { LoraFleetError } from "../../shared/errors.ts";
import { decodeMessage } from "../../shared/protocol/messages.ts";
import { unlessAborted } from "./abortable.ts";

/** A request that fails at once must not be repeated at once. */
const PAUSE_MS = 50;

/** What is asked, as long as `signal` lets. */
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

/**
 * The coordinator's answer. Rejects with the signal's reason, or with code `aborted` when the bus is closed; an answer that
 * cannot be read counts as none.
 */
export function askUntilAnswered<S extends z.ZodType>(question: Question<S>): Promise<z.output<S>> {
  const { answer, subject } = question;
  return askUntilRead(question, (data) => decodeMessage(answer, data, `the answer on ${subject}`));
}

/** The same for an answer that is no JSON: `read` throws a `LoraFleetError` with code `corrupt` where it cannot be read. */
export async function askUntilRead<T>(request: Request, read: (data: Uint8Array) => T): Promise<T> {
  const { bus, clock, subject, data, timeoutMs, signal } = request;
  for (;;) {
    signal.throwIfAborted();
    try {
      return read(await unlessAborted(bus.request(subject, data, timeoutMs), signal));
    } catch (thrown) {
      signal.throwIfAborted();
      if (!(thrown instanceof LoraFleetError) || (thrown.code !== "timeout" && thrown.code !== "corrupt")) {
        throw thrown;
      }
    }
    await clock.sleep(PAUSE_MS, signal);
  }
}
