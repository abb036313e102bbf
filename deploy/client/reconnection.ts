/** How long a client waits for a coordinator that has gone away, such as one that is being restarted. */
import type { Clock } from "../../shared/clock.ts";
import { LoraFleetError } from "../../shared/errors.ts";

const [RETRY_MS, GIVE_UP_MS] = [1000, 120_000];

export class Reconnection {
  readonly #clock: Clock;
  readonly #signal: AbortSignal;
  #brokenSince: number | null = null;

  constructor(clock: Clock, signal: AbortSignal) {
    this.#clock = clock;
    this.#signal = signal;
  }

  /** Something has arrived: the next failure is a new one. */
  arrived(): void {
    this.#brokenSince = null;
  }

  /**
   * Waits until it is time to ask again. Rejects with `thrown` if it is no failure of the connection or nothing has arrived for too
   * long, with the signal's reason if it aborts.
   * @param thrown null for a stream that has ended too early
   */
  async wait(thrown: unknown): Promise<void> {
    this.#signal.throwIfAborted();
    if (thrown !== null && !isConnectionFailure(thrown)) throw thrown;
    const now = this.#clock.now();
    this.#brokenSince ??= now;
    if (now - this.#brokenSince >= GIVE_UP_MS) {
      throw thrown ?? new LoraFleetError("timeout", "the coordinator ends the stream of events at once");
    }
    await this.#clock.sleep(RETRY_MS, this.#signal);
  }
}

/** What `ask` gives, asked again while the coordinator is away. Rejects as `Reconnection.wait`. @param ask may be served twice */
export async function patiently<T>(clock: Clock, signal: AbortSignal, ask: () => Promise<T>): Promise<T> {
  const reconnection = new Reconnection(clock, signal);
  for (;;) {
    try {
      return await ask();
    } catch (thrown) {
      await reconnection.wait(thrown);
    }
  }
}

/** `fetch` and its body throw a TypeError for a broken connection; ApiClient turns that of a request into `timeout`. */
function isConnectionFailure(thrown: unknown): boolean {
  return thrown instanceof TypeError || (thrown instanceof LoraFleetError && thrown.code === "timeout");
}
