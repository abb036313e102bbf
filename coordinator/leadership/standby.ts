/** Of several coordinators on one data folder or at one broker exactly one leads; the others stand by until it has ended. */
import type { Clock } from "../../shared/clock.ts";
import { LoraFleetError } from "../../shared/errors.ts";

export interface Standby {
  /** Whether to wait at all; otherwise what is in the way is thrown. */
  readonly isAllowed: boolean;
  readonly clock: Clock;
  /** Ends the waiting, with its reason. */
  readonly signal: AbortSignal;
  readonly log: (level: "info", message: string) => void;
}

/**
 * Tries to lead until it works, every `intervalMs`. `tryToLead` rejects with code `conflict` while another coordinator
 * leads `what`: "the data folder ./data". Rejects with anything else that it throws, and with the signal's reason.
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
      if (isWaiting) log("info", `the other coordinator has ended: this one takes over ${what}`);
      return won;
    } catch (thrown) {
      if (!isAllowed || !isToBeWaitedFor(thrown, isWaiting)) throw thrown;
    }
    if (!isWaiting) {
      log(
        "info",
        `another coordinator has ${what}: this one stands by, and takes over when that one ends ` +
          "(--no-standby ends it instead)",
      );
    }
    await clock.sleep(intervalMs, signal);
  }
}

/** A broker that does not answer is an error for who starts, and only a longer wait for who waits already. */
export function isToBeWaitedFor(thrown: unknown, isWaiting: boolean): boolean {
  if (!(thrown instanceof LoraFleetError)) return false;
  return thrown.code === "conflict" || (isWaiting && thrown.code === "timeout");
}
