/**
 * What this worker's link receives at its best. The whole round's mean would say little: everybody waits for the slowest, so
 * that all members would report about the same. In the best tenth of a second a fast link shows what it can do,
 * provided that others send so fast; a slow one never exceeds itself.
 */
import type { Clock } from "../../shared/clock.ts";

/** Long enough for a clock of whole milliseconds and a few chunks, short enough to be filled by one burst. */
const WINDOW_MS = 100;
/** How much a round counts against all before it. */
const NEWEST_SHARE = 0.25;

export interface LinkMeter {
  beginRound(): void;
  /** A frame of the round has come. */
  received(byteLength: number): void;
  endRound(): void;
  /** Smoothed over rounds; null before a round that lasted long enough. */
  readonly bytesPerSecond: number | null;
}

export function createLinkMeter(clock: Clock): LinkMeter {
  let smoothed: number | null = null;
  let windowBegan = 0;
  let inWindow = 0;
  let best = 0;

  /** Windows follow each other; one in which nothing comes ends when something does. */
  function closeWindow(now: number): void {
    if (now - windowBegan < WINDOW_MS) return;
    best = Math.max(best, 1000 * inWindow / (now - windowBegan));
    windowBegan = now;
    inWindow = 0;
  }

  return {
    beginRound: () => {
      windowBegan = clock.now();
      inWindow = 0;
      best = 0;
    },
    received: (byteLength) => {
      closeWindow(clock.now());
      inWindow += byteLength;
    },
    endRound: () => {
      closeWindow(clock.now());
      if (best === 0) return;
      smoothed = smoothed === null ? best : smoothed + NEWEST_SHARE * (best - smoothed);
    },
    get bytesPerSecond() {
      return smoothed;
    },
  };
}
