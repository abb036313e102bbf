/** Turns what happens in a job's training into its stored state: steps, excluded micro-batches, checkpoints, events. */
import { LoraFleetError } from "../../shared/errors.ts";
import { tokensUntil } from "../planning/token_count.ts";
import type { ExcludedMicroBatch, JobObserver, StepReport } from "../fleet/fleet.ts";
import type { Evaluated, EvaluationOutcome } from "../planning/evaluation/selection.ts";
import { selectionOf, selectionRuleOf } from "../planning/evaluation/selection.ts";
import { evaluationEvent, ROLLED_BACK_TO, storedEvaluations } from "./results/evaluations.ts";
import type { CheckpointFile } from "../storage/checkpoint_file.ts";
import type { PlannedJob } from "../planning/planned_job.ts";
import type { JobContext } from "./job_context.ts";
import { DIVERGENCE_PARAM } from "./rollback.ts";
import { LossGuard } from "./results/loss_guard.ts";
import { describeDeleted, rotateCheckpoints } from "./results/rotation.ts";
import { addStep, type JobProgress, startProgress } from "./job_progress.ts";
import { unlessAborted } from "./job_work.ts";
import type { JobRecord, QuarantinedSample } from "./record/job.ts";
import type { JobTransition } from "./record/job_transition.ts";
import type { CheckpointRecord } from "./stores/job_store.ts";
import type { EventDetails } from "./job_journal.ts";

type NewestStep = Pick<StepReport, "step" | "loss" | "tokenAccuracy" | "digest" | "maxAbs">;

export class TrainingObserver implements JobObserver {
  readonly #context: JobContext;
  readonly #job: PlannedJob;
  /** Once it is aborted, nothing more is stored. */
  readonly #signal: AbortSignal;
  #progress: JobProgress;
  #newest: NewestStep | null = null;
  /** Outcomes of evaluations, oldest first. */
  #evaluations: readonly Evaluated[] = [];
  #checkpointSteps = new Set<number>();
  readonly #losses: LossGuard;

  constructor(context: JobContext, job: PlannedJob, signal: AbortSignal) {
    this.#context = context;
    this.#job = job;
    this.#signal = signal;
    this.#progress = startProgress(job.totalSteps, storedGradientBytes(context, job.id));
    this.#losses = new LossGuard(context, job, (message, step) => this.event("warn", message, { step }));
  }

  async starting(committedStep: number) {
    const { artifacts, store, journal } = this.#context;
    const { id, totalSteps, initial } = this.#job;
    const first = initial?.step ?? 0;
    // After a rollback the job's own checkpoint is what it goes on from.
    const isRollback = committedStep > 0 && committedStep === this.#job.halvedAfter;
    if (!isRollback && committedStep === first) {
      // An earlier start of this job may have left checkpoints.
      await artifacts.clear(id);
      this.#signal.throwIfAborted();
      await journal.write(() => store.deleteCheckpoints(id), this.#signal);
      this.#progress = startProgress(totalSteps);
    }
    const evaluations = this.#job.evaluation ? await storedEvaluations(this.#context, id) : [];
    this.#evaluations = evaluations.filter(({ step }) => step <= committedStep);
    await journal.write(() => this.#rollBack(committedStep), this.#signal);
    if (this.#stored().step < first) await journal.write(() => this.#continueAfter(first), this.#signal);
    this.#checkpointSteps = await storedCheckpointSteps(this.#context, id);
    this.#losses.starting(committedStep);
    const checkpointSteps = [...this.#checkpointSteps];
    return { step: this.#stored().step, checkpointSteps, evaluations: this.#evaluations };
  }

  event(level: "info" | "warn" | "error", message: string, data?: Record<string, unknown>): void {
    if (!this.#signal.aborted) this.#context.journal.record(this.#job.id, level, message, data ?? null);
  }

  microBatchExcluded(step: number, excluded: ExcludedMicroBatch): void {
    if (this.#signal.aborted) return;
    const sample = this.#sampleOf(step, excluded);
    const { microBatch, examples, workers } = sample;
    const data = { step, micro_batch: microBatch, examples, workers };
    this.#context.journal.writeSoon(() => {
      // A repeated attempt may exclude it again.
      const isKnown = this.#stored().quarantined.some((known) =>
        known.step === step && known.microBatch === microBatch
      );
      if (!isKnown) this.#apply({ type: "sampleQuarantined", sample }, { level: "warn", data });
    }, this.#signal);
  }

  async stepCommitted(report: StepReport): Promise<void> {
    if (this.#signal.aborted) return;
    const { step, tokenCount, audits, loss } = report;
    const { progress, remainingMs, metrics } = addStep(this.#progress, report);
    this.#progress = progress;
    this.#newest = report;
    const quarantined = report.excluded.map((excluded) => this.#sampleOf(step, excluded));
    const event = {
      type: "metrics",
      message: `Step ${step}/${this.#job.totalSteps}: training loss=${loss.toFixed(4)}`,
      data: metrics,
    } as const;
    await this.#write(() =>
      this.#apply({ type: "stepCommitted", step, tokenCount, remainingMs, quarantined, audits }, event)
    );
    const reason = await this.#losses.committed(step, loss);
    // Rows that are not shuffled may become harder.
    if (reason !== null && this.#job.spec.dataset.shuffle) throw diverged(reason, this.#job);
  }

  async evaluated(outcome: EvaluationOutcome): Promise<void> {
    if (this.#signal.aborted) return;
    const { step, best } = outcome;
    const { totalSteps, epochsAfter } = this.#job;
    this.#evaluations = [...this.#evaluations.filter((known) => known.step < step), outcome];
    const trainLoss = this.#newest?.step === step ? this.#newest.loss : null;
    const epoch = step === 0 ? 0 : epochsAfter(step);
    const event = evaluationEvent({ step, totalSteps, epoch, trainLoss }, outcome);
    await this.#write(() => this.#apply({ type: "evaluated", step, best }, event));
  }

  async checkpointWritten(step: number, written: readonly CheckpointFile[]): Promise<void> {
    // After a rollback a step is repeated, with the same outcome.
    if (this.#signal.aborted || this.#checkpointSteps.has(step)) return;
    const { store, journal } = this.#context;
    const checkpoint = {
      ...newCheckpoint(this.#context, this.#job.id, step, this.#newest, this.#evaluations),
      files: written.map(({ name, size, sha256 }) => ({ name, size, sha256 })),
    };
    this.#checkpointSteps.add(step);
    await this.#write(() => store.putCheckpoint(checkpoint));
    journal.record(this.#job.id, "info", `The checkpoint of step ${step} is stored.`, { step });
    const parts = { ...this.#context, write: (write: () => void) => this.#write(write) };
    for (const old of await rotateCheckpoints(parts, this.#stored(), this.#checkpointSteps)) {
      this.#checkpointSteps.delete(old);
      this.event("info", describeDeleted(old), { step: old });
    }
  }

  /** The newest step whose loss, and those of the steps before, are no part of a divergence. */
  lastGoodStep(): number {
    return Math.max(0, this.#stored().step - this.#losses.suspectSteps);
  }

  #stored(): JobRecord {
    return this.#context.journal.get(this.#job.id);
  }

  #apply(transition: JobTransition, event: EventDetails): void {
    this.#context.journal.apply(this.#job.id, transition, event);
  }

  #write(write: () => void): Promise<void> {
    return unlessAborted(this.#signal, this.#context.journal.write(write, this.#signal));
  }

  #rollBack(step: number): void {
    const stored = this.#stored();
    if (step >= stored.step) return;
    const trainedTokens = tokensUntil(this.#job, step, stored.quarantined);
    const rule = selectionRuleOf(this.#job.spec.training);
    const { best } = selectionOf(rule, this.#evaluations, step);
    const data = { [ROLLED_BACK_TO]: step };
    this.#apply({ type: "rolledBack", step, trainedTokens, best }, { level: "warn", data });
  }

  /** The steps before are an earlier job's. */
  #continueAfter(step: number): void {
    const trainedTokens = tokensUntil(this.#job, step, []);
    this.#apply({ type: "continued", step, trainedTokens }, { level: "info" });
  }

  #sampleOf(step: number, { index, workers }: ExcludedMicroBatch): QuarantinedSample {
    const examples = [...this.#job.linesOf(step, index)];
    const reason = "its loss or gradient is not finite";
    return { step, microBatch: index, examples, reason, workers: [...workers] };
  }
}

/** A checkpoint's record without its files; metrics that are unknown after a restart are null. */
function newCheckpoint(
  { newId, clock }: JobContext,
  jobId: string,
  step: number,
  newest: NewestStep | null,
  evaluations: readonly Evaluated[],
): Omit<CheckpointRecord, "files"> {
  const known = newest?.step === step ? newest : null;
  const evaluated = evaluations.find((evaluated) => evaluated.step === step);
  return {
    ...{ id: newId("ftckpt"), jobId, createdAt: clock.now(), step },
    trainLoss: known?.loss ?? null,
    trainAccuracy: known?.tokenAccuracy ?? null,
    validLoss: evaluated?.loss ?? null,
    validAccuracy: evaluated?.accuracy ?? null,
    commit: known === null ? null : { digest: known.digest, maxAbs: known.maxAbs },
  };
}

/** From the newest stored metrics. */
function storedGradientBytes({ store }: JobContext, jobId: string): number {
  const recent = store.events(jobId, { after: null, limit: 100 }).items;
  const bytes = recent.map(({ data }) => data?.["gradient_bytes_sent"]).find((sent) => sent !== undefined);
  return typeof bytes === "number" ? bytes : 0;
}

/** Reads page by page, since a job may have thousands. */
async function storedCheckpointSteps({ store, clock }: JobContext, jobId: string): Promise<Set<number>> {
  const steps = new Set<number>();
  for (let after: string | null = null;;) {
    const { items, hasMore } = store.checkpoints(jobId, { after, limit: 100 });
    for (const { step } of items) steps.add(step);
    if (!hasMore) return steps;
    after = items.at(-1)!.id;
    await clock.sleep(0);
  }
}

function diverged(reason: string, { spec }: PlannedJob): LoraFleetError {
  const message =
    `${reason}; lower training.learning_rate, which is ${spec.training.learning_rate}, or raise ` +
    "training.warmup_ratio; the checkpoints stay";
  return new LoraFleetError("gpu_failure", message, { param: DIVERGENCE_PARAM });
}
