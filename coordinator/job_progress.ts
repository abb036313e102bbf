/** What a user wants to see while a job trains, computed from the committed steps: loss, speed, time left. */
import type { StepReport } from "./fleet.ts";

/** Steps whose mean duration predicts the rest: long enough to be calm, short enough to notice a lost worker. */
const SPEED_WINDOW_STEPS = 20;

export interface JobProgress {
  readonly totalSteps: number;
  /** Steps between two metrics events. */
  readonly loggingSteps: number;
  /** Durations of the newest steps, in seconds. */
  readonly recentSeconds: readonly number[];
  /** Of the steps since the last metrics event. */
  readonly pending: readonly StepReport[];
  readonly gradientBytesSent: number;
}

/** The data of a metrics event. All durations are seconds. */
export type StepMetrics = Record<string, number | string>;

export interface ProgressDecision {
  readonly progress: JobProgress;
  readonly remainingMs: number;
  /** Null between two events. */
  readonly metrics: StepMetrics | null;
}

/** Progress before the first step. */
export function startProgress(totalSteps: number, loggingSteps: number): JobProgress {
  return { totalSteps, loggingSteps, recentSeconds: [], pending: [], gradientBytesSent: 0 };
}

/**
 * Takes a committed step into account. There is an event every `loggingSteps` steps and after the last; as in
 * transformers, its loss is the mean over the steps since the event before.
 */
export function addStep(before: JobProgress, report: StepReport): ProgressDecision {
  const recentSeconds = [...before.recentSeconds, report.seconds].slice(-SPEED_WINDOW_STEPS);
  const pending = [...before.pending, report];
  const gradientBytesSent = before.gradientBytesSent + report.gradientBytesSent;
  const meanSeconds = sum(recentSeconds) / recentSeconds.length;
  const etaSeconds = meanSeconds * (before.totalSteps - report.step);
  const progress = { ...before, recentSeconds, pending, gradientBytesSent };
  const remainingMs = Math.round(etaSeconds * 1000);
  if (report.step % before.loggingSteps !== 0 && report.step !== before.totalSteps) {
    return { progress, remainingMs, metrics: null };
  }
  const seconds = sum(pending.map((step) => step.seconds));
  return {
    progress: { ...progress, pending: [] },
    remainingMs,
    metrics: {
      step: report.step,
      total_steps: before.totalSteps,
      epoch: report.epoch,
      train_loss: sum(pending.map((step) => step.loss)) / pending.length,
      learning_rate: report.learningRate,
      grad_norm: report.gradientNorm,
      tokens_per_second: seconds > 0 ? sum(pending.map((step) => step.tokenCount)) / seconds : 0,
      tokens: sum(pending.map((step) => step.tokenCount)),
      target_tokens: sum(pending.map((step) => step.targetCount)),
      workers: report.workerCount,
      attempt: report.attempt,
      step_seconds: seconds / pending.length,
      eta_seconds: etaSeconds,
      gradient_bytes_sent: gradientBytesSent,
      digest: report.digest,
    },
  };
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
