/** Requests to the coordinator that are repeated until they are answered. */
import type { z } from "zod";
import type { Bus } from "../shared/bus/bus.ts";
import type { Clock } from "../shared/clock.ts";
import { LoraFleetError } from "../shared/errors.ts";
import { decodeMessage } from "../shared/messages.ts";
import { unlessAborted } from "./abortable.ts";

/** A request that fails at once must not be repeated at once. */
const PAUSE_MS = 50;

export interface Question<S extends z.ZodType> {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly subject: string;
  readonly data: Uint8Array;
  readonly answer: S;
  /** For one try. */
  readonly timeoutMs: number;
  /** Ends the repetition. */
  readonly signal: AbortSignal;
}

/**
 * The coordinator's answer. Rejects with the signal's reason, or with code `aborted` when the bus is closed; an answer that
 * cannot be read counts as none.
 */
export async function askUntilAnswered<S extends z.ZodType>(question: Question<S>): Promise<z.output<S>> {
  const { bus, clock, subject, data, answer, timeoutMs, signal } = question;
  for (;;) {
    signal.throwIfAborted();
    try {
      return decodeMessage(
        answer,
        await unlessAborted(bus.request(subject, data, timeoutMs), signal),
        `the answer on ${subject}`,
      );
    } catch (thrown) {
      signal.throwIfAborted();
      if (!(thrown instanceof LoraFleetError) || (thrown.code !== "timeout" && thrown.code !== "corrupt")) {
        throw thrown;
      }
    }
    await clock.sleep(PAUSE_MS, signal);
  }
}
