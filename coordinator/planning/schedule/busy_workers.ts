/** How many of a fleet's workers a step keeps busy, and which values would keep all of them busy. */
import type { JobSpec } from "../../../shared/job/job_spec_schema.ts";

type Spec = {
  readonly training: Pick<JobSpec["training"], "gradient_accumulation_steps" | "per_device_train_batch_size">;
  readonly fleet: Pick<JobSpec["fleet"], "local_steps">;
};

export interface BusyWorkers {
  readonly workers: number;
  /** Micro-batches, or inner loops with local steps: a worker does one at a time. */
  readonly items_per_step: number;
  /** Share of the workers' time that a step can use, if all are equally fast. */
  readonly busy_share: number;
  /** Values of fields with which it can use the largest share, by the field's path; without local steps the batch stays the same. */
  readonly best: Readonly<Record<string, number>>;
  /** The share with them. */
  readonly best_share: number;
}

/** @param workers at least 1 */
export function busyWorkers({ training, fleet }: Spec, workers: number): BusyWorkers {
  if (fleet.local_steps !== null) {
    const { replicas } = fleet.local_steps;
    const best = { "fleet.local_steps.replicas": workers * Math.ceil(replicas / workers) };
    return {
      ...{ workers, items_per_step: replicas, busy_share: busyShare(replicas, workers) },
      ...{ best, best_share: 1 },
    };
  }
  const { gradient_accumulation_steps: count, per_device_train_batch_size: rows } = training;
  const batch = count * rows;
  const best = bestCount(batch, rows, workers);
  return {
    ...{ workers, items_per_step: count, busy_share: busyShare(count, workers) },
    best: {
      "training.gradient_accumulation_steps": best,
      "training.per_device_train_batch_size": batch / best,
    },
    best_share: busyShare(best, workers),
  };
}

/** Null unless some workers have nothing to do in a step. */
export function idleWarning(spec: Spec, workers: number): string | null {
  const { items_per_step: count, best, busy_share, best_share } = busyWorkers(spec, workers);
  if (count >= workers) return null;
  const idle = workers - count;
  const isLocal = spec.fleet.local_steps !== null;
  const [field, what] = isLocal
    ? ["fleet.local_steps.replicas", "inner loops"]
    : ["training.gradient_accumulation_steps", "micro-batches"];
  const values = Object.entries(best).map(([path, value]) => `${path} ${value}`).join(" and ");
  const share = best_share === 1 ? "all" : `${Math.round(100 * best_share)}%`;
  const remedies = [
    ...best_share > busy_share
      ? [`with ${values} ${share} of them are busy${isLocal ? "" : ", and the batch is the same"}`]
      : [],
    ...best_share < 1 ? [`a multiple of ${workers} keeps all of them busy, with a larger batch`] : [],
  ];
  return `A step has ${field} ${count}, that is ${count} ${what}, for ${workers} workers: ${idle} of them ` +
    `${idle === 1 ? "has" : "have"} nothing to do; ${remedies.join("; ")}.`;
}

/** Each round of a step gives every worker one item; the last round may be short. */
function busyShare(items: number, workers: number): number {
  return items / (Math.ceil(items / workers) * workers);
}

/**
 * The smallest divisor of the batch with the largest share; micro-batches do not grow, since a GPU's memory may not have room for
 * more rows.
 */
function bestCount(batch: number, rows: number, workers: number): number {
  let best = batch / rows;
  for (let count = best; count <= batch; count++) {
    if (batch % count === 0 && busyShare(count, workers) > busyShare(best, workers)) best = count;
  }
  return best;
}
