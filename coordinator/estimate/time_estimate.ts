/** How long a job takes and what it costs, from a speed that was measured or that the user gives. */
import type { JobStore } from "../jobs/stores/job_store.ts";

export interface TimeEstimate {
  /** Null if no speed is known. */
  readonly tokens_per_second: number | null;
  /** Where the speed comes from, or what would give one. */
  readonly source: string;
  readonly workers: number | null;
  readonly seconds: number | null;
  /** In the currency of the price; null without a price or a speed. */
  readonly cost: number | null;
}

export interface SpeedQuestion {
  /** Of the whole fleet; null: as measured. */
  readonly tokensPerSecond: number | null;
  /** That the given speed is of; null: one. */
  readonly workers: number | null;
}

/** A speed of the whole fleet. */
export interface Speed {
  readonly tokensPerSecond: number;
  readonly workers: number;
  readonly source: string;
}

/** @param tokens null if unknown @param pricePerHour of one worker */
export function estimateTime(
  tokens: number | null,
  speed: Speed | null,
  pricePerHour: number | null,
): TimeEstimate {
  if (speed === null) {
    const source =
      "no job has trained on this base model here yet; give tokens_per_second, or train a few steps " +
      "(training.max_steps) first";
    return { tokens_per_second: null, source, workers: null, seconds: null, cost: null };
  }
  const { tokensPerSecond, workers, source } = speed;
  if (tokens === null) {
    const source = "the run's tokens are not known without a tokenizer; training.max_steps bounds them";
    return { tokens_per_second: tokensPerSecond, source, workers, seconds: null, cost: null };
  }
  const seconds = tokens / tokensPerSecond;
  const cost = pricePerHour === null ? null : seconds / 3600 * workers * pricePerHour;
  return { tokens_per_second: tokensPerSecond, source, workers, seconds, cost };
}

/** The given speed, else the one that was measured on this base model; null if there is neither. */
export function speedFor(
  { tokensPerSecond, workers }: SpeedQuestion,
  store: Pick<JobStore, "jobs" | "events">,
  model: string,
): Speed | null {
  if (tokensPerSecond === null) return measuredSpeed(store, model);
  return { tokensPerSecond, workers: workers ?? 1, source: "given" };
}

/** Jobs and events that are looked at, newest first. */
const [MAX_JOBS, MAX_EVENTS] = [200, 60];
/** The first steps compile kernels and load the model. */
const MIN_STEPS = 3;

/** The median speed of the newest job that trained on a base model; null if there is none. */
export function measuredSpeed(store: Pick<JobStore, "jobs" | "events">, model: string): Speed | null {
  const { items } = store.jobs({ after: null, limit: MAX_JOBS });
  for (const { id, spec } of items) {
    if (spec.model !== model) continue;
    const steps = store.events(id, { after: null, limit: MAX_EVENTS }).items.flatMap(({ type, data }) => {
      const [tokensPerSecond, workers] = [data?.["tokens_per_second"], data?.["workers"]];
      const isStep = type === "metrics" && typeof tokensPerSecond === "number" && typeof workers === "number";
      return isStep && tokensPerSecond > 0 ? [{ tokensPerSecond, workers }] : [];
    });
    if (steps.length < MIN_STEPS) continue;
    const median = steps.toSorted((a, b) => a.tokensPerSecond - b.tokensPerSecond)[steps.length >> 1]!;
    return { ...median, source: `the newest steps of ${id}` };
  }
  return null;
}
