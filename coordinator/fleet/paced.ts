/**
 * Announces a state that may change many times in a moment: at once if the pause since the last announcement is over, else
 * once at its end. A state may be skipped, since the next one is complete (docs/protocol.md, "Two repeated states").
 */
import type { Clock } from "../../shared/clock.ts";

interface PacedOptions {
  readonly clock: Clock;
  /** Announces the current state. */
  readonly announce: () => void;
  /** The pause after an announcement, in milliseconds, as of now. */
  readonly pauseMs: () => number;
  /** Cancels what is put off. */
  readonly signal: AbortSignal;
}

export interface Paced {
  /** As soon as the pause since the last announcement is over. */
  soon(): void;
  /** At once, which includes what was put off. */
  now(): void;
}

export function createPaced({ clock, announce, pauseMs, signal }: PacedOptions): Paced {
  let announcedAt = -Infinity;
  let isPutOff = false;
  let isWaiting = false;

  function now(): void {
    announcedAt = clock.now();
    isPutOff = false;
    announce();
  }

  async function wait(): Promise<void> {
    isWaiting = true;
    // An announcement meanwhile restarts the pause.
    for (let restMs = rest(); restMs > 0 && isPutOff; restMs = rest()) await clock.sleep(restMs, signal);
    isWaiting = false;
    if (isPutOff) now();
  }

  const rest = () => announcedAt + pauseMs() - clock.now();

  return {
    now,
    soon: () => {
      if (!isWaiting && rest() <= 0) return now();
      isPutOff = true;
      if (!isWaiting) wait().catch(() => {});
    },
  };
}
