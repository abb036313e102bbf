/** Training metrics computed from committed steps: loss, speed, remaining time. */
import type { StepReport } from "../fleet/fleet.ts";

/** Steps whose durations predict the rest: enough to be stable, few enough to reflect a lost worker. */
const SPEED_WINDOW_STEPS = 20;

export interface JobProgress {
  readonly totalSteps: number;
  /** Durations of the newest steps' committed attempts in seconds, without the first step. */
  readonly recentSeconds: readonly number[];
  /** How much longer each of them took with its discarded attempts, as a factor; the first step counts as 1. */
  readonly recentFactors: readonly number[];
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
  return { totalSteps, recentSeconds: [], recentFactors: [1], isWarm: false, gradientBytesSent };
}

/** Adds a committed step. */
export function addStep(before: JobProgress, report: StepReport): ProgressDecision {
  const { seconds, attemptSeconds } = report;
  // The first step predicts only the second one, by the duration of its committed attempt.
  const recentSeconds = before.isWarm
    ? [...before.recentSeconds, attemptSeconds].slice(-SPEED_WINDOW_STEPS)
    : [];
  const recentFactors = before.isWarm
    ? [...before.recentFactors, attemptSeconds > 0 ? seconds / attemptSeconds : 1].slice(-SPEED_WINDOW_STEPS)
    : before.recentFactors;
  const predicting = before.isWarm ? recentSeconds : [attemptSeconds];
  const gradientBytesSent = before.gradientBytesSent + report.gradientBytesSent;
  // A discarded attempt now and then predicts nothing; where most steps have one, so will the rest.
  const stepSeconds = sum(predicting) / predicting.length * lowerMedian(recentFactors);
  const etaSeconds = stepSeconds * (before.totalSteps - report.step);
  return {
    progress: { ...before, recentSeconds, recentFactors, isWarm: true, gradientBytesSent },
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

function lowerMedian(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[(values.length - 1) >> 1]!;
}
