/**
 * Announcements of a state that may change many times in a moment, and looks at it: at once after a pause, else one for all that
 * has changed by the pause's end. A state may be skipped, since the next one says everything (docs/protocol.md, "Two repeated
 * states").
 */
import type { Clock } from "../../shared/clock.ts";

export interface PacedOptions {
  readonly clock: Clock;
  /** The state as it is when it is called. */
  readonly announce: () => void;
  /** How long the pause after an announcement is now, in milliseconds. */
  readonly pauseMs: () => number;
  /** Ends it: what is put off is not announced any more. */
  readonly signal: AbortSignal;
}

export interface Paced {
  /** As soon as the pause since the last announcement is over. */
  soon(): void;
  /** At once, and with it what was put off. */
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
    // Whatever was announced meanwhile makes the pause begin anew.
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
