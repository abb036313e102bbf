/** The two parts of a job's data: rows that are trained on, and rows that are evaluated. */
import { LoraFleetError } from "../../../shared/errors.ts";
import type { DatasetSpec, JobSpec } from "../../../shared/job/job_spec_schema.ts";
import { shuffledOrder } from "../../../shared/data/rows/shuffled_order.ts";

export type DatasetPart = "training" | "validation";

/** Rows drawn from the training file by the job's seed. */
export interface HeldOut {
  /** Below 1 a share of the rows, else a count. */
  readonly size: number;
  readonly seed: number;
}

/** Whether the job evaluates while it trains. */
export function isEvaluated({ training }: Pick<JobSpec, "training">): boolean {
  return training.eval_strategy !== undefined && training.eval_strategy !== "no";
}

/** The field that says where the part's rows come from. */
export function sourceOf({ dataset }: Pick<JobSpec, "dataset">, part: DatasetPart): string {
  if (part === "training") return "training_file";
  if (dataset.eval_split !== undefined) return "dataset.eval_split";
  return dataset.test_size !== undefined ? "dataset.test_size" : "validation_file";
}

/** How the part's file becomes rows: the fields of the other part are left out, so that equal parts have equal keys. */
export function datasetOf({ dataset }: Pick<JobSpec, "dataset">, part: DatasetPart): DatasetSpec {
  const { eval_split, test_size, ...shared } = dataset;
  if (part === "training" || test_size !== undefined) return shared;
  // An evaluation is a plain mean, and its file need not have the column. The key of messages stays, as a 0 there is context.
  const { weight_field: _, ...unweighted } = shared;
  return { ...unweighted, split: eval_split ?? "train" };
}

export function heldOutOf({ dataset, seed }: Pick<JobSpec, "dataset" | "seed">): HeldOut | null {
  return dataset.test_size === undefined ? null : { size: dataset.test_size, seed };
}

/**
 * The part's places of `count`, in order: those that `datasets`' `train_test_split` takes with this seed. A share is rounded up.
 * The draw is over all rows, blank and unusable ones among them, as where a dataset is split before TRL leaves rows out.
 * Throws `invalid_request` if no row is left to train on.
 */
export function placesOfPart(count: number, held: HeldOut | null, part: DatasetPart): Uint32Array {
  const all = Uint32Array.from({ length: count }, (_, place) => place);
  if (held === null) return all;
  const { size, seed } = held;
  const heldCount = size < 1 ? Math.ceil(size * count) : size;
  if (heldCount >= count) {
    const param = "dataset.test_size";
    const message =
      `${param} is ${size}, which holds out ${heldCount} of ${count} rows: none is left to train on; ` +
      "lower it";
    throw new LoraFleetError("invalid_request", message, { param });
  }
  const isHeld = new Uint8Array(count);
  for (const place of shuffledOrder(seed, count).subarray(0, heldCount)) isHeld[place] = 1;
  const wanted = part === "validation" ? 1 : 0;
  return all.filter((place) => isHeld[place] === wanted);
}

/** Names the field at fault: what reads the rows knows only training files. */
export async function aboutPart<T>(
  spec: Pick<JobSpec, "dataset">,
  part: DatasetPart,
  body: () => Promise<T>,
): Promise<T> {
  if (part === "training") return await body();
  const source = sourceOf(spec, part);
  try {
    return await body();
  } catch (thrown) {
    if (!(thrown instanceof LoraFleetError)) throw thrown;
    const { code, message, param } = thrown;
    const isOfFile = param === null || param === "training_file" || param === "dataset.split";
    const renamed = message.replace("dataset.split", "dataset.eval_split");
    throw new LoraFleetError(code, `the rows to evaluate (${source}): ${renamed}`, {
      param: isOfFile ? source : param,
      cause: thrown,
    });
  }
}
