/**
 * Whether a training diverges, as a pure decision: (watch, step, loss) → (watch, reason). A diverged model does not come back by
 * itself: it would only use up GPU time until the last step.
 */
import type { JobStore } from "../stores/job_store.ts";

export interface LossWatch {
  /** Losses of the first steps. */
  readonly first: readonly number[];
  /** Losses of the newest steps, twice as many. */
  readonly recent: readonly number[];
}

export const NO_LOSSES: LossWatch = { first: [], recent: [] };

/** Enough that neither a few bad rows nor one step that overshoots counts. */
const WINDOW_STEPS = 20;
/** What each loss of a whole window has to exceed the mean of the first ones by: both of them. */
const FACTOR = 2;
/** In nats; a loss that begins near 0 may well double. */
const MARGIN = 2;
/** A peak among the first losses that is so far above the very first ones, in nats, is a divergence and no beginning. */
const PEAK = 4;

/** `reason` is null unless all of the newest steps are far worse than the first ones. */
export function watchLoss(
  { first, recent }: LossWatch,
  step: number,
  loss: number,
): { readonly watch: LossWatch; readonly reason: string | null } {
  if (first.length < WINDOW_STEPS) return { watch: { first: [...first, loss], recent }, reason: null };
  const watch = { first, recent: [...recent, loss].slice(-2 * WINDOW_STEPS) };
  if (badSteps(watch) < WINDOW_STEPS) return { watch, reason: null };
  const newest = watch.recent.slice(-WINDOW_STEPS);
  const before = isPeaked(first)
    ? `it was ${startOf(first).toFixed(2)} when the training began`
    : `that of the first ${WINDOW_STEPS} steps was ${startOf(first).toFixed(2)}`;
  const reason = `the training diverges: the mean loss of steps ${step - WINDOW_STEPS + 1} to ${step} is ` +
    `${meanOf(newest).toFixed(2)}, ${before}`;
  return { watch, reason };
}

/** How many of the newest steps in a row are far worse than the first ones. */
export function badSteps({ first, recent }: LossWatch): number {
  const start = startOf(first);
  const bound = Math.max(FACTOR * start, start + MARGIN);
  return recent.length - 1 - recent.findLastIndex((loss) => loss <= bound);
}

/**
 * How many of the newest steps are no good to go on from: the bad ones, and those before them whose losses were above the first
 * ones' already, on their way up. 0 if the newest step is not bad.
 */
export function suspectSteps({ first, recent }: LossWatch): number {
  const bad = badSteps({ first, recent });
  if (bad === 0) return 0;
  const start = startOf(first);
  // What lies between the first losses and the kept ones is not known.
  const known = recent.length < 2 * WINDOW_STEPS ? [...first, ...recent] : recent;
  return known.length - 1 - known.findLastIndex((loss) => loss <= start);
}

/**
 * The loss that the training began with. A rate that is far too high spoils the first steps already: their mean would call the
 * wreck normal (docs/benchmarks/watchdogs.txt).
 */
function startOf(first: readonly number[]): number {
  return isPeaked(first) ? earliest(first) : meanOf(first);
}

function isPeaked(first: readonly number[]): boolean {
  return Math.max(...first) > earliest(first) + PEAK;
}

/** Before the first update, or after one in a warm-up. */
const earliest = (first: readonly number[]) => Math.min(...first.slice(0, 2));

/**
 * What an earlier process had watched up to a step; the newest losses begin anew.
 * @param before the step of an earlier job that this one goes on from, or 0
 */
export function storedLosses(
  store: Pick<JobStore, "eventsSince">,
  jobId: string,
  step: number,
  before = 0,
): LossWatch {
  const losses = new Map<number, number>();
  const end = Math.min(step, before + WINDOW_STEPS);
  for (let newest = 0; losses.size < end - before;) {
    const events = store.eventsSince(jobId, newest, 100);
    if (events.length === 0) break;
    newest = events.at(-1)!.number;
    for (const { type, data } of events) {
      const [at, loss] = [data?.["step"], data?.["train_loss"]];
      if (type === "metrics" && typeof at === "number" && at <= end && typeof loss === "number") {
        losses.set(at, loss);
      }
    }
  }
  return { first: [...losses].sort(([a], [b]) => a - b).map(([, loss]) => loss), recent: [] };
}

function meanOf(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0) / values.length;
}
