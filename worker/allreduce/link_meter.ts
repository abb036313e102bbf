/**
 * The best rate at which this worker's link receives. The mean of a round would say little, because everyone waits for the slowest
 * member. In the best tenth of a second a fast link shows its speed, if others send that fast; a slow one never exceeds its own.
 */
import type { Clock } from "../../shared/clock.ts";

/** Long enough for a clock of whole milliseconds and a few chunks, short enough to be filled by one burst. */
const WINDOW_MS = 100;
/** The newest round's weight in the mean over rounds. */
const NEWEST_SHARE = 0.25;

export class LinkMeter {
  readonly #clock: Clock;
  #smoothed: number | null = null;
  #windowBegan = 0;
  #inWindow = 0;
  #best = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  beginRound(): void {
    this.#windowBegan = this.#clock.now();
    this.#inWindow = 0;
    this.#best = 0;
  }

  /** A frame of the round has arrived. */
  received(byteLength: number): void {
    this.#closeWindow();
    this.#inWindow += byteLength;
  }

  endRound(): void {
    this.#closeWindow();
    if (this.#best === 0) return;
    this.#smoothed = this.#smoothed === null
      ? this.#best
      : this.#smoothed + NEWEST_SHARE * (this.#best - this.#smoothed);
  }

  /** Smoothed over rounds; null before a round that lasted long enough. */
  get bytesPerSecond(): number | null {
    return this.#smoothed;
  }

  /** Windows follow each other; an empty one ends at the next arrival. */
  #closeWindow(): void {
    const now = this.#clock.now();
    const elapsedMs = now - this.#windowBegan;
    if (elapsedMs < WINDOW_MS) return;
    this.#best = Math.max(this.#best, 1000 * this.#inWindow / elapsedMs);
    this.#windowBegan = now;
    this.#inWindow = 0;
  }
}
