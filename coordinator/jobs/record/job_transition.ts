/**
 * A job's life as a pure decision: (job, transition, now) → (job, reason).
 *
 *     validating_files ──validated──▶ queued ──started──▶ running ──trained──▶ succeeded
 *                                       ▲                    │
 *                                       └coordinatorRestarted┘       from the first three: failed, cancelled, paused
 *
 *     paused ──resumed──▶ queued, or validating_files if the data is not prepared yet; also: cancelled
 */
import { counted } from "../../../shared/counted.ts";
import { LoraFleetError, quote } from "../../../shared/errors.ts";
import { type AuditCounts, NO_AUDITS } from "../../../shared/protocol/messages_coordinator.ts";
import { fineTunedModelName } from "./job.ts";
import type { JobError, JobRecord, JobStatus, QuarantinedSample } from "./job.ts";

/** Lines of the training file that one sentence lists. */
const MAX_LINES_NAMED = 20;

export type JobTransition =
  | { readonly type: "validated"; readonly totalSteps: number }
  /** `modelHash` names the base model's files. */
  | { readonly type: "started"; readonly modelHash?: string }
  /** Training begins after a step of an earlier job, whose state it takes. */
  | { readonly type: "continued"; readonly step: number; readonly trainedTokens: number }
  /** The state after a later step is lost: training continues from an earlier one. */
  | {
    readonly type: "rolledBack";
    readonly step: number;
    readonly trainedTokens: number;
    /** Of the evaluations up to that step; left out: there are none. */
    readonly best?: JobRecord["best"];
  }
  /** The newest committed step is evaluated. */
  | { readonly type: "evaluated"; readonly step: number; readonly best: JobRecord["best"] }
  | {
    readonly type: "stepCommitted";
    readonly step: number;
    readonly tokenCount: number;
    readonly remainingMs: number | null;
    /** Micro-batches excluded from this step. */
    readonly quarantined?: readonly QuarantinedSample[];
    /** Totals of all steps up to this one. */
    readonly audits?: AuditCounts;
  }
  /** The training diverged: it goes on from an earlier step with half the learning rate. */
  | {
    readonly type: "learningRateHalved";
    readonly rollback: NonNullable<JobRecord["rollback"]>;
    readonly why: string;
  }
  | { readonly type: "sampleQuarantined"; readonly sample: QuarantinedSample }
  | {
    readonly type: "trained";
    readonly resultFiles: readonly string[];
    /** The step whose adapter is the result; left out: the last one. */
    readonly resultStep?: number;
  }
  | { readonly type: "failed"; readonly error: JobError }
  | { readonly type: "cancelled" }
  /** `for`: the coordinator pauses it, and will resume it. */
  | { readonly type: "paused"; readonly for?: "disk" }
  | { readonly type: "resumed" }
  | { readonly type: "coordinatorRestarted" }
  /** The result or a checkpoint was deleted. */
  | { readonly type: "modelDeleted"; readonly name: string };

interface JobDecision {
  readonly job: JobRecord;
  /** One sentence for the job's events. */
  readonly reason: string;
}

type Of<T extends JobTransition["type"]> = Extract<JobTransition, { readonly type: T }>;

interface Rule<T extends JobTransition> {
  readonly from: readonly JobStatus[];
  readonly decide: (job: JobRecord, transition: T, now: number) => JobDecision;
}

const RULES: { readonly [T in JobTransition["type"]]: Rule<Of<T>> } = {
  validated: {
    from: ["validating_files"],
    decide: (job, { totalSteps }) => ({
      job: { ...job, status: "queued", totalSteps },
      reason: `The data is prepared: ${counted(totalSteps, "step")}. The job is queued.`,
    }),
  },
  started: {
    from: ["queued"],
    decide: (job, { modelHash = job.modelHash }, now) => ({
      job: {
        ...job,
        status: "running",
        startedAt: job.startedAt ?? now,
        ...modelHash === undefined ? {} : { modelHash },
      },
      reason: job.step === 0 ? "Training has started." : `Training continues after step ${job.step}.`,
    }),
  },
  rolledBack: { from: ["running"], decide: rollBack },
  continued: {
    from: ["running"],
    decide: (job, { step, trainedTokens }) => ({
      job: { ...job, step, trainedTokens },
      reason: `Training goes on after step ${step}, whose state is ${
        job.spec.resumed_state?.model ?? "an earlier job's"
      }.`,
    }),
  },
  stepCommitted: { from: ["running"], decide: commitStep },
  evaluated: {
    from: ["running"],
    decide: (job, { step, best }) => ({ job: { ...job, best }, reason: `Step ${step} is evaluated.` }),
  },
  learningRateHalved: {
    from: ["running"],
    decide: (job, { rollback, why }) => ({
      // The checkpoint of a later step is deleted; the start recounts the evaluations before.
      job: { ...job, rollback, best: job.best !== null && job.best.step > rollback.step ? null : job.best },
      reason: `${why[0]!.toUpperCase()}${why.slice(1)}. The job goes on ` +
        `${rollback.step > 0 ? `from step ${rollback.step}` : beginningOf(job)} with half the learning rate.`,
    }),
  },
  sampleQuarantined: { from: ["running"], decide: quarantineSample },
  trained: {
    from: ["running"],
    decide: (job, { resultFiles, resultStep = job.totalSteps }, now) => ({
      job: {
        ...finish(job, "succeeded", now),
        ...resultStep === null || resultStep === job.totalSteps ? {} : { resultStep },
        resultFiles: [...resultFiles],
        fineTunedModel: fineTunedModelName(job),
      },
      reason: `The job has succeeded: ${counted(job.step, "step")}, ${counted(job.trainedTokens, "token")}` +
        `${resultStep === job.step ? "" : `; the result is the adapter of step ${resultStep}`}.`,
    }),
  },
  failed: {
    from: ["validating_files", "queued", "running"],
    decide: (job, { error }, now) => ({
      job: { ...finish(job, "failed", now), error },
      reason: `The job has failed: ${error.message}`,
    }),
  },
  cancelled: {
    from: ["validating_files", "queued", "running", "paused"],
    decide: (job, _, now) => ({
      job: finish(job, "cancelled", now),
      reason: `The job was cancelled while it was ${job.status}.`,
    }),
  },
  paused: {
    from: ["validating_files", "queued", "running"],
    decide: (job, { for: pausedFor }) => ({
      job: {
        ...job,
        status: "paused",
        estimatedFinishAt: null,
        ...pausedFor === undefined ? {} : { pausedFor },
      },
      reason: `The job was paused while it was ${job.status}${afterStep(job)}.`,
    }),
  },
  resumed: { from: ["paused"], decide: resume },
  coordinatorRestarted: {
    from: ["running"],
    decide: (job) => ({
      job: { ...job, status: "queued", estimatedFinishAt: null },
      reason: "The coordinator restarted while the job was running; the job is queued again.",
    }),
  },
  modelDeleted: {
    from: ["succeeded", "failed", "cancelled"],
    decide: (job, { name }) => ({
      job: { ...job, deletedModels: [...job.deletedModels, name] },
      reason: `The model ${name} was deleted.`,
    }),
  },
};

/** Applies a transition at `now` (milliseconds). Throws `conflict` if the job's status does not allow it. */
export function decideJob(job: JobRecord, transition: JobTransition, now: number): JobDecision {
  // A rule's type follows from the transition's, which an index by a union does not express.
  const { from, decide } = RULES[transition.type] as Rule<JobTransition>;
  if (from.includes(job.status)) return decide(job, transition, now);
  const message = `job ${quote(job.id)} cannot be ${transition.type}: it is ${quote(job.status)}, not ` +
    `${from.map(quote).join(" or ")}`;
  throw new LoraFleetError("conflict", message, { param: "status" });
}

function beginningOf({ spec: { resumed_state: resumed } }: JobRecord): string {
  return resumed === undefined ? "from the beginning" : `from step ${resumed.step}, where it began,`;
}

function finish(job: JobRecord, status: JobStatus, now: number): JobRecord {
  return { ...job, status, finishedAt: now, estimatedFinishAt: null };
}

function rollBack(job: JobRecord, { step, trainedTokens, best = null }: Of<"rolledBack">): JobDecision {
  return {
    job: {
      ...job,
      step,
      trainedTokens,
      best,
      quarantined: job.quarantined.filter((sample) => sample.step <= step),
      // The next commit brings the totals up to it.
      audits: step === 0 ? NO_AUDITS : job.audits,
    },
    reason: step === 0
      ? "Training restarts from the beginning."
      : `Training continues from the stored state of step ${step}.`,
  };
}

function commitStep(job: JobRecord, committed: Of<"stepCommitted">, now: number): JobDecision {
  const { step, tokenCount, remainingMs, quarantined = [], audits = job.audits } = committed;
  return {
    job: {
      ...job,
      step,
      trainedTokens: job.trainedTokens + tokenCount,
      estimatedFinishAt: remainingMs === null ? null : now + remainingMs,
      quarantined: [...job.quarantined.filter((sample) => sample.step !== step), ...quarantined],
      audits,
    },
    reason: `Step ${step}/${job.totalSteps ?? "?"} is committed.`,
  };
}

function quarantineSample(job: JobRecord, { sample }: Of<"sampleQuarantined">): JobDecision {
  const { step, microBatch, examples, reason, workers } = sample;
  const others = job.quarantined.filter((known) => known.step !== step || known.microBatch !== microBatch);
  const what = job.spec.fleet.local_steps === null ? "Micro-batch" : "Inner loop";
  return {
    job: { ...job, quarantined: [...others, sample] },
    reason: `${what} ${microBatch} of step ${step} is excluded ` +
      `(${describeLines(examples)} of the training file): ${reason} on ${workers.join(", ")}.`,
  };
}

function resume({ pausedFor: _over, ...job }: JobRecord): JobDecision {
  const isPrepared = job.totalSteps !== null;
  return {
    job: { ...job, status: isPrepared ? "queued" : "validating_files" },
    reason: `The job was resumed${afterStep(job)}; it is ${isPrepared ? "queued" : "validated"} again.`,
  };
}

function afterStep({ step }: JobRecord): string {
  return step === 0 ? "" : `, after step ${step}`;
}

/** An inner loop has thousands of lines: the record lists them all, the sentence only the first ones. */
function describeLines(lines: readonly number[]): string {
  const named = lines.slice(0, MAX_LINES_NAMED).join(", ");
  const more = lines.length - MAX_LINES_NAMED;
  return `${lines.length === 1 ? "line" : "lines"} ${named}${more > 0 ? ` and ${more} more` : ""}`;
}
