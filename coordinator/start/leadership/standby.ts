/** Exactly one coordinator leads on a data folder and at a broker; the others stand by until it has ended. */
import type { Clock } from "../../../shared/clock.ts";
import { LoraFleetError } from "../../../shared/errors.ts";

export interface Standby {
  /** Otherwise the conflict is thrown. */
  readonly isAllowed: boolean;
  readonly clock: Clock;
  /** Ends the waiting, with its reason. */
  readonly signal: AbortSignal;
  readonly log: (level: "info", message: string) => void;
}

/**
 * Calls `tryToLead` every `intervalMs` until it succeeds. It rejects with `conflict` while another coordinator holds
 * `what`: "the data folder ./data". Rejects with any other error of `tryToLead`, and with the signal's reason.
 */
export async function waitToLead<T>(
  { isAllowed, clock, signal, log }: Standby,
  what: string,
  intervalMs: number,
  tryToLead: () => T | Promise<T>,
): Promise<T> {
  for (let isWaiting = false;; isWaiting = true) {
    signal.throwIfAborted();
    try {
      const won = await tryToLead();
      if (isWaiting) log("info", `the other coordinator has ended: taking over ${what}`);
      return won;
    } catch (thrown) {
      if (!isAllowed || !isRetryable(thrown, isWaiting)) throw thrown;
    }
    if (!isWaiting) {
      log(
        "info",
        `another coordinator holds ${what}: standing by to take over when it ends ` +
          "(--no-standby ends it instead)",
      );
    }
    await clock.sleep(intervalMs, signal);
  }
}

/** A silent broker fails a coordinator that starts, but only prolongs the wait of one that stands by. */
export function isRetryable(thrown: unknown, isWaiting: boolean): boolean {
  if (!(thrown instanceof LoraFleetError)) return false;
  return thrown.code === "conflict" || (isWaiting && thrown.code === "timeout");
}
