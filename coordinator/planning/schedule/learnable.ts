/** Whether a job's steps can move its adapter at all, from their learning rates alone. */
import { counted } from "../../../shared/counted.ts";
import { LoraFleetError } from "../../../shared/errors.ts";
import { MAX_JOB_STEPS } from "../../../shared/job/job_bounds.ts";
import type { JobSpec } from "../../../shared/job/job_spec_schema.ts";
import { learningRateAt, warmupSteps } from "./schedule.ts";

/** Fewer updates than this seldom teach anything. */
const FEW_UPDATES = 10;

type LearnableSpec = Pick<JobSpec, "training" | "dataset" | "fleet">;

interface LearnableData {
  readonly exampleCount: number;
  /** Packed rows. */
  readonly rowCount: number;
}

interface Learnability {
  /** Why the adapter would not change, and what to do; null if it can move. */
  readonly refusal: string | null;
  /** The field at fault. */
  readonly param: string;
  /** One sentence each. */
  readonly warnings: readonly string[];
}

/**
 * @param dataSteps steps over the data: all of the job's, without `fleet.local_steps`
 * @param data null before the data is prepared
 */
export function learnabilityOf(
  spec: LearnableSpec,
  dataSteps: number,
  data: LearnableData | null,
): Learnability {
  const { training, fleet } = spec;
  const updates = updatesOf(dataSteps, fleet.local_steps);
  const warmup = training.lr_scheduler_type === "constant" ? 0 : warmupSteps(updates, training);
  const field = training.warmup_steps > 0 ? "warmup_steps" : "warmup_ratio";
  const param = `training.${field}`;
  const more = moreSteps(spec, data);
  const found = `${counted(updates, "update")} of the adapter${data === null ? "" : describe(spec, data)}`;
  if (!moves(updates, training)) {
    const refusal = `the job makes ${found}, all with a learning rate of 0, since the warm-up takes ` +
      `${
        counted(warmup, "update")
      } and begins at 0: the adapter would stay as it is; ${more}, or end the warm-up ` +
      `sooner (${param} is ${training[field]})`;
    return { refusal, param, warnings: [] };
  }
  const warnings = [];
  if (updates < FEW_UPDATES) {
    warnings.push(`The job makes only ${found}, which seldom teaches anything; ${more}.`);
  }
  if (warmup > updates / 2) {
    const part = warmup < updates ? `${warmup} of the job's ${updates} updates` : "All of the job's updates";
    warnings.push(
      `${part} are warm-up, in which the learning rate has not reached training.learning_rate; lower ${param}.`,
    );
  }
  const { num_decay_steps: decay = 0, num_stable_steps: stable } = training.lr_scheduler_kwargs ?? {};
  if (stable === undefined && decay > 0 && decay > updates - warmup) {
    warnings.push(
      `training.lr_scheduler_kwargs.num_decay_steps is ${decay}, but after the warm-up there are ` +
        `${
          counted(Math.max(0, updates - warmup), "update")
        }: the decay begins part of the way down, as in transformers.`,
    );
  }
  return { refusal: null, param, warnings };
}

/**
 * The warnings for a job whose data is prepared. Throws a `LoraFleetError` with code `invalid_request` if no step changes the
 * adapter, or if there are more steps than a job may have.
 */
export function checkLearnable(
  spec: LearnableSpec,
  dataSteps: number,
  data: LearnableData,
): readonly string[] {
  if (dataSteps > MAX_JOB_STEPS) {
    const { num_train_epochs: epochs } = spec.training;
    const param = "training.num_train_epochs";
    const message =
      `${param} is ${epochs}, which makes ${dataSteps} steps of ${
        counted(data.rowCount, "row")
      }; a job may ` +
      `have at most ${MAX_JOB_STEPS}: lower it, set training.max_steps, or raise training.gradient_accumulation_steps`;
    throw new LoraFleetError("invalid_request", message, { param });
  }
  const { refusal, param, warnings } = learnabilityOf(spec, dataSteps, data);
  if (refusal !== null) throw new LoraFleetError("invalid_request", refusal, { param });
  return warnings;
}

/** Optimizer updates of one replica; with local steps the replicas share the data steps. */
function updatesOf(dataSteps: number, localSteps: JobSpec["fleet"]["local_steps"]): number {
  if (localSteps === null) return dataSteps;
  const { inner_steps: longest, replicas } = localSteps;
  const outer = Math.ceil(dataSteps / (longest * replicas));
  return (outer - 1) * longest + Math.ceil((dataSteps - (outer - 1) * longest * replicas) / replicas);
}

/** Only the first step of a warm-up and the end of a schedule can have rate 0: three steps suffice to look at. */
function moves(updates: number, training: JobSpec["training"]): boolean {
  return [1, 2, 3].some((step) => step <= updates && learningRateAt(step, updates, training) > 0);
}

function describe({ training, dataset }: LearnableSpec, { exampleCount, rowCount }: LearnableData): string {
  const { num_train_epochs: epochs, max_steps: max, gradient_accumulation_steps: parts } = training;
  const { packing, max_seq_length: length } = dataset;
  const rows = packing
    ? `${counted(exampleCount, "row")} of the file pack into ${rowCount} of up to ${length} tokens`
    : `there are ${counted(rowCount, "row")}`;
  const span = max > 0 ? `max_steps is ${max}` : `${counted(epochs, "epoch")} of it are trained`;
  return ` (${rows}, a step takes ${counted(parts, "micro-batch", "micro-batches")}, ${span})`;
}

function moreSteps({ training, dataset, fleet }: LearnableSpec, data: LearnableData | null): string {
  const { num_train_epochs: epochs, max_steps: max, gradient_accumulation_steps: parts } = training;
  const ways = [];
  if (max > 0) ways.push(`raise training.max_steps (${max})`);
  else {
    ways.push(`raise training.num_train_epochs (${epochs})`);
    if (parts > 1) ways.push(`lower training.gradient_accumulation_steps (${parts})`);
    if (dataset.packing && (data === null || data.exampleCount > data.rowCount)) {
      ways.push("set dataset.packing to false");
    }
  }
  if (fleet.local_steps !== null) {
    ways.push(`lower fleet.local_steps.replicas (${fleet.local_steps.replicas})`);
  }
  return `for more of them ${ways.join(", or ")}`;
}
