/** A worker's gradient sums, used while they come from its GPU. */
import { Arrival } from "../async/arrival.ts";
import type { Engine } from "../engine/engine.ts";

/** The sums' array, of which `arrival` says how much is there; undefined: all. */
export interface ArrivingSums {
  readonly sums: Int32Array;
  readonly arrival: Arrival | undefined;
}

/**
 * Runs `use` from the moment when the engine's first sums are there. Its signal aborts with `signal`, and with the reading's error.
 * Ends no earlier than the reading: an engine does one thing at a time, and the next reading is into the same memory.
 */
export async function withSums<T>(
  engine: Pick<Engine, "readSums">,
  signal: AbortSignal,
  use: (arriving: ArrivingSums, signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const arrival = new Arrival();
  const failed = new AbortController();
  const reading = engine.readSums(arrival);
  reading.then((sums) => arrival.reach(sums, sums.length), (thrown) => failed.abort(thrown));
  const sums = await Promise.race([arrival.begun, reading]);
  try {
    if (arrival.count === sums.length) return await use({ sums, arrival: undefined }, signal);
    return await use({ sums, arrival }, AbortSignal.any([signal, failed.signal]));
  } finally {
    await reading.catch(() => {});
  }
}
