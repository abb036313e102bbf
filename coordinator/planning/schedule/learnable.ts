/** Whether a job's steps can move its adapter at all: pure, from the learning rates that they will have. */
import { counted } from "../../../shared/counted.ts";
import { LoraFleetError } from "../../../shared/errors.ts";
import { MAX_JOB_STEPS } from "../../../shared/job/job_bounds.ts";
import type { JobSpec } from "../../../shared/job/job_spec_schema.ts";
import { learningRateAt, warmupSteps } from "./schedule.ts";

/** Fewer updates than this seldom teach anything. */
const FEW_UPDATES = 10;

/** What came of the data, where it is known. */
interface LearnableData {
  readonly exampleCount: number;
  /** Packed rows. */
  readonly rowCount: number;
}

interface Learnability {
  /** Why the adapter would stay as it is, and what to change; null where it can move. */
  readonly refusal: string | null;
  /** The field that makes it so. */
  readonly param: string;
  /** One sentence each. */
  readonly warnings: readonly string[];
}

/**
 * @param dataSteps steps over the data: all of the job's, without `fleet.local_steps`
 * @param data null before the data is prepared
 */
export function learnabilityOf(
  { training, dataset, fleet }: Pick<JobSpec, "training" | "dataset" | "fleet">,
  dataSteps: number,
  data: LearnableData | null,
): Learnability {
  const updates = updatesOf(dataSteps, fleet.local_steps);
  const warmup = training.lr_scheduler_type === "constant" ? 0 : warmupSteps(updates, training);
  const param = training.warmup_steps > 0 ? "training.warmup_steps" : "training.warmup_ratio";
  const remedy = `${moreSteps(training, dataset, fleet, data)}, or end the warm-up sooner (${param} is ${
    training.warmup_steps > 0 ? training.warmup_steps : training.warmup_ratio
  })`;
  const found = `${counted(updates, "update")} of the adapter${
    data === null ? "" : describe(training, dataset, data)
  }`;
  if (!moves(updates, training)) {
    const refusal = `the job makes ${found}, all with a learning rate of 0, since the warm-up takes ${
      counted(warmup, "update")
    } and begins at 0: the adapter would stay as it is; ${remedy}`;
    return { refusal, param, warnings: [] };
  }
  const warnings = [];
  if (updates < FEW_UPDATES) {
    warnings.push(
      `The job makes only ${found}, which seldom teaches anything; ${
        moreSteps(training, dataset, fleet, data)
      }.`,
    );
  }
  if (warmup > updates / 2) {
    warnings.push(
      `${
        warmup < updates ? `${warmup} of the job's ${updates} updates are` : "All of the job's updates are"
      } warm-up, in ` +
        `which the learning rate has not reached training.learning_rate; lower ${param}.`,
    );
  }
  return { refusal: null, param, warnings };
}

/**
 * The same for a job whose data is prepared: the warnings. Throws a `LoraFleetError` with code `invalid_request` where no step
 * changes the adapter, and where there are more steps than a job may have.
 */
export function checkLearnable(
  spec: Pick<JobSpec, "training" | "dataset" | "fleet">,
  dataSteps: number,
  data: LearnableData,
): readonly string[] {
  if (dataSteps > MAX_JOB_STEPS) {
    const { num_train_epochs: epochs } = spec.training;
    const param = "training.num_train_epochs";
    throw new LoraFleetError(
      "invalid_request",
      `${param} is ${epochs}, which makes ${dataSteps} steps of ${
        counted(data.rowCount, "row")
      }; a job may have at most ` +
        `${MAX_JOB_STEPS}: lower it, set training.max_steps, or raise training.gradient_accumulation_steps`,
      { param },
    );
  }
  const { refusal, param, warnings } = learnabilityOf(spec, dataSteps, data);
  if (refusal !== null) throw new LoraFleetError("invalid_request", refusal, { param });
  return warnings;
}

/** Optimizer updates of one replica: with local steps the data steps are dealt out among them. */
function updatesOf(dataSteps: number, localSteps: JobSpec["fleet"]["local_steps"]): number {
  if (localSteps === null) return dataSteps;
  const { inner_steps: longest, replicas } = localSteps;
  const outer = Math.ceil(dataSteps / (longest * replicas));
  return (outer - 1) * longest + Math.ceil((dataSteps - (outer - 1) * longest * replicas) / replicas);
}

/** The first step of a warm-up has rate 0, and so has what a schedule ends with; more steps than these cannot all have it. */
function moves(updates: number, training: JobSpec["training"]): boolean {
  const looked = Math.min(updates, 3);
  return Array.from({ length: looked }, (_, i) => learningRateAt(i + 1, updates, training)).some((rate) =>
    rate > 0
  );
}

function describe(
  { num_train_epochs: epochs, max_steps: most, gradient_accumulation_steps: parts }: JobSpec["training"],
  { packing, max_seq_length: length }: JobSpec["dataset"],
  { exampleCount, rowCount }: LearnableData,
): string {
  const rows = packing
    ? `${counted(exampleCount, "row")} of the file pack into ${rowCount} of up to ${length} tokens`
    : `there are ${counted(rowCount, "row")}`;
  const span = most > 0 ? `max_steps is ${most}` : `${counted(epochs, "epoch")} of it are trained`;
  return ` (${rows}, a step takes ${counted(parts, "micro-batch", "micro-batches")}, ${span})`;
}

function moreSteps(
  training: JobSpec["training"],
  dataset: JobSpec["dataset"],
  fleet: JobSpec["fleet"],
  data: LearnableData | null,
): string {
  const ways = [
    training.max_steps > 0
      ? `raise training.max_steps (${training.max_steps})`
      : `raise training.num_train_epochs (${training.num_train_epochs})`,
  ];
  if (training.max_steps <= 0) {
    if (training.gradient_accumulation_steps > 1) {
      ways.push(`lower training.gradient_accumulation_steps (${training.gradient_accumulation_steps})`);
    }
    if (dataset.packing && (data === null || data.exampleCount > data.rowCount)) {
      ways.push("set dataset.packing to false");
    }
  }
  if (fleet.local_steps !== null) {
    ways.push(`lower fleet.local_steps.replicas (${fleet.local_steps.replicas})`);
  }
  return `for more of them ${ways.join(", or ")}`;
}
