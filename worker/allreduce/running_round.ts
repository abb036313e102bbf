/**
 * A round on the wire, from its entry to its release: sends what there is to send, and asks for missing chunks whenever nothing
 * has arrived for a while. Senders keep what they sent until the round is left, so that every request can be met.
 */
import type { Clock } from "../../shared/clock.ts";
import type { Arrival } from "../async/arrival.ts";
import type { EarlyFrame } from "./early_frames.ts";
import type { AllReduceStats } from "./all_reduce_stats.ts";
import type { ReduceRound } from "./round/reduce_round.ts";
import type { RoundId } from "./round/round_id.ts";
import { RoundTimeout } from "./round/round_timeout.ts";

const MAX_QUIET_MS = 4000;

interface RunningRoundOptions {
  readonly id: RoundId;
  /** Names job, start and term in the header of the round's frames. */
  readonly hash: number;
  readonly members: readonly string[];
  readonly round: ReduceRound;
  readonly clock: Clock;
  readonly stats: AllReduceStats;
  /** Missing chunks are requested after this long without a new one; the time doubles while nothing arrives. */
  readonly quietMs: number;
  readonly yieldToEventLoop: () => Promise<void>;
  /** How much of this worker's sums is there; null: all of them. */
  readonly arrival: Arrival | null;
}

export class RunningRound {
  readonly id: RoundId;
  readonly hash: number;
  readonly #options: RunningRoundOptions;
  readonly #outcome = Promise.withResolvers<void>();
  #isLeft = false;
  #lastArrivalAt: number;
  /** Resumes sending if it waits. */
  #wake = () => {};

  constructor(options: RunningRoundOptions) {
    this.#options = options;
    this.id = options.id;
    this.hash = options.hash;
    this.#lastArrivalAt = options.clock.now();
  }

  /**
   * Resolves when the result is whole here and this worker's range is out; sending goes on until `leave`. Rejects with the
   * signal's reason, with `RoundTimeout`, or with the reason of `fail`.
   */
  async run(early: readonly EarlyFrame[], deadlineMs: number, signal: AbortSignal): Promise<void> {
    const ended = new AbortController();
    const onAbort = () => this.fail(signal.reason);
    const fail = (thrown: unknown) => this.fail(thrown);
    this.#options.arrival?.watch(() => this.#ownArrived());
    signal.addEventListener("abort", onAbort, { once: true });
    this.#send(early).catch(fail);
    // Aborting `ended` stops both after the outcome; what they throw before it is the outcome.
    this.#askWhenQuiet(ended.signal).catch(fail);
    this.#expire(deadlineMs, ended.signal).catch(fail);
    try {
      await this.#outcome.promise;
    } finally {
      signal.removeEventListener("abort", onAbort);
      ended.abort();
    }
  }

  receive({ sender, frame }: EarlyFrame): void {
    const { members, round, clock, stats } = this.#options;
    if (members[frame.senderIndex] !== sender) return void stats.mismatchedFrames++;
    const reception = round.receive(frame);
    if (reception !== "used") return void stats[`${reception}Frames`]++;
    if (frame.kind !== "ack") this.#lastArrivalAt = clock.now();
    this.#wake();
  }

  #ownArrived(): void {
    const { arrival, round, clock } = this.#options;
    if (this.#isLeft || arrival === null) return;
    this.#lastArrivalAt = clock.now();
    round.ownArrived(arrival.count);
    this.#wake();
  }

  fail(reason: unknown): void {
    this.#outcome.reject(reason);
  }

  /** No member needs its chunks any longer. */
  leave(): void {
    this.#isLeft = true;
    this.#wake();
  }

  async #send(early: readonly EarlyFrame[]): Promise<void> {
    const { round, yieldToEventLoop } = this.#options;
    for (const frame of early) {
      // The next round sums in the same memory.
      if (this.#isLeft) return;
      this.receive(frame);
      await yieldToEventLoop();
    }
    while (!this.#isLeft) {
      const hasWorked = round.addHeld() || round.sendNext();
      if (round.isComplete) this.#outcome.resolve();
      if (hasWorked) await yieldToEventLoop();
      else await new Promise<void>((resolve) => void (this.#wake = resolve));
    }
  }

  async #askWhenQuiet(signal: AbortSignal): Promise<void> {
    const { round, clock, quietMs, arrival } = this.#options;
    if (arrival !== null) await arrival.whole; // before that it may be this worker that others wait for
    signal.throwIfAborted();
    for (let waitMs = quietMs, quietSince = this.#lastArrivalAt;;) {
      if (this.#lastArrivalAt > quietSince) {
        quietSince = this.#lastArrivalAt;
        waitMs = quietMs;
      }
      const dueInMs = quietSince + waitMs - clock.now();
      if (dueInMs > 0) {
        await clock.sleep(dueInMs, signal);
        continue;
      }
      round.askForMissing();
      quietSince = clock.now();
      waitMs = Math.min(2 * waitMs, Math.max(quietMs, MAX_QUIET_MS));
    }
  }

  async #expire(deadlineMs: number, signal: AbortSignal): Promise<never> {
    const { id, members, round, clock, arrival } = this.#options;
    if (arrival !== null) await arrival.whole;
    await clock.sleep(deadlineMs, signal);
    throw new RoundTimeout(id, deadlineMs, members, round.missing());
  }
}
