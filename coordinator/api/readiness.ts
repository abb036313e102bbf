/** The checks of /readyz: each store that jobs need is written to, at most once a second. */
import type { Clock } from "../../shared/clock.ts";
import { messageOf } from "../../shared/errors.ts";
import type { ReadinessCheck } from "./routes/services.ts";

/** A probe costs two disk syncs and a message to the broker. */
const KEPT_MS = 1000;

/** Each one throws or rejects with the problem. */
type Probes = Readonly<Record<string, () => unknown>>;

/** Returns a function that runs all probes, or returns the result of a run in the last second. */
export function createReadiness(
  clock: Pick<Clock, "now">,
  probes: Probes,
): () => Promise<readonly ReadinessCheck[]> {
  let kept: { readonly at: number; readonly found: Promise<readonly ReadinessCheck[]> } | null = null;
  const check = async (name: string, probe: () => unknown): Promise<ReadinessCheck> => {
    try {
      await probe();
      return { name, problem: null };
    } catch (thrown) {
      return { name, problem: messageOf(thrown) };
    }
  };
  return () => {
    if (kept === null || clock.now() - kept.at >= KEPT_MS) {
      const found = Promise.all(Object.entries(probes).map(([name, probe]) => check(name, probe)));
      kept = { at: clock.now(), found };
    }
    return kept.found;
  };
}
