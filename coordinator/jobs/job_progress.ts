/** What a user wants to see while a job trains, computed from the committed steps: loss, speed, time left. */
import type { StepReport } from "../fleet/fleet.ts";

/** Steps whose mean duration predicts the rest: long enough to be calm, short enough to notice a lost worker. */
const SPEED_WINDOW_STEPS = 20;

export interface JobProgress {
  readonly totalSteps: number;
  /** Durations of the newest steps, in seconds, without the first one. */
  readonly recentSeconds: readonly number[];
  /** Whether a step was committed: the first one waits for workers that load the model and compile their kernels. */
  readonly isWarm: boolean;
  /** By all workers since the job started. */
  readonly gradientBytesSent: number;
}

/** The data of a metrics event. All durations are seconds. */
export type StepMetrics = Record<string, number | string>;

export interface ProgressDecision {
  readonly progress: JobProgress;
  readonly remainingMs: number;
  readonly metrics: StepMetrics;
}

/** Progress before the first step, or before the one after a restart. */
export function startProgress(totalSteps: number, gradientBytesSent = 0): JobProgress {
  return { totalSteps, recentSeconds: [], isWarm: false, gradientBytesSent };
}

/** Takes a committed step into account. */
export function addStep(before: JobProgress, report: StepReport): ProgressDecision {
  // The first step predicts the others only until there is one of them, and then by what was not thrown away.
  const recentSeconds = before.isWarm
    ? [...before.recentSeconds, report.seconds].slice(-SPEED_WINDOW_STEPS)
    : [];
  const predicting = before.isWarm ? recentSeconds : [report.attemptSeconds];
  const gradientBytesSent = before.gradientBytesSent + report.gradientBytesSent;
  const etaSeconds = sum(predicting) / predicting.length * (before.totalSteps - report.step);
  return {
    progress: { ...before, recentSeconds, isWarm: true, gradientBytesSent },
    remainingMs: Math.round(etaSeconds * 1000),
    metrics: {
      step: report.step,
      total_steps: before.totalSteps,
      epoch: report.epoch,
      train_loss: report.loss,
      learning_rate: report.learningRate,
      grad_norm: report.gradientNorm,
      tokens_per_second: report.attemptSeconds > 0 ? report.tokenCount / report.attemptSeconds : 0,
      tokens: report.tokenCount,
      target_tokens: report.labelCount,
      workers: report.workerCount,
      attempt: report.attempt,
      step_seconds: report.seconds,
      eta_seconds: etaSeconds,
      // Of the whole job, so that the last event tells its cost.
      gradient_bytes_sent: gradientBytesSent,
      digest: report.digest,
      ...report.local === undefined ? {} : {
        inner_steps: report.local.innerSteps,
        data_step: report.local.dataStep,
        total_data_steps: report.local.totalDataSteps,
      },
    },
  };
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
