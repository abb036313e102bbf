/** Training metrics computed from committed steps: loss, speed, remaining time. */
import type { StepReport } from "../fleet/fleet.ts";

/** Steps whose mean duration predicts the rest: enough to be stable, few enough to reflect a lost worker. */
const SPEED_WINDOW_STEPS = 20;

export interface JobProgress {
  readonly totalSteps: number;
  /** Durations of the newest steps in seconds, without the first step. */
  readonly recentSeconds: readonly number[];
  /** Whether a step was committed; the first one includes loading the model and compiling kernels. */
  readonly isWarm: boolean;
  /** Sent by all workers since the job started. */
  readonly gradientBytesSent: number;
}

/** The data of a metrics event. Durations are seconds. */
export type StepMetrics = Record<string, number | string>;

interface ProgressDecision {
  readonly progress: JobProgress;
  readonly remainingMs: number;
  readonly metrics: StepMetrics;
}

/** Progress before the first step, or before the first one after a restart. */
export function startProgress(totalSteps: number, gradientBytesSent = 0): JobProgress {
  return { totalSteps, recentSeconds: [], isWarm: false, gradientBytesSent };
}

/** Adds a committed step. */
export function addStep(before: JobProgress, report: StepReport): ProgressDecision {
  // The first step predicts only the second one, by the duration of its committed attempt.
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
      ...report.tokenAccuracy === null ? {} : { train_mean_token_accuracy: report.tokenAccuracy },
      learning_rate: report.learningRate,
      grad_norm: report.gradientNorm,
      tokens_per_second: report.attemptSeconds > 0 ? report.tokenCount / report.attemptSeconds : 0,
      tokens: report.tokenCount,
      target_tokens: report.labelCount,
      workers: report.workerCount,
      attempt: report.attempt,
      step_seconds: report.seconds,
      eta_seconds: etaSeconds,
      // The total of the job, so that the last event has its whole cost.
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
