/** What committed steps show: speed, discarded attempts, bytes of the all-reduce, losses. */
import type { Fleet, JobObserver, StepReport } from "../fleet/fleet.ts";
import type { Metrics } from "./registry.ts";

/** Seconds; a tiny model's step takes 10 ms, one of 70B parameters minutes. */
const STEP_BUCKETS = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800];

/** The same fleet; every committed step of its jobs is counted. */
export function measuredFleet(fleet: Fleet, metrics: Metrics): Fleet {
  const { step, evaluated, checkpointWritten } = trainingMetrics(metrics);
  const observed = (observer: JobObserver): JobObserver => ({
    starting: (committedStep) => observer.starting(committedStep),
    event: (...rest) => observer.event(...rest),
    microBatchExcluded: (...rest) => observer.microBatchExcluded(...rest),
    stepCommitted(report) {
      step(report);
      return observer.stepCommitted(report);
    },
    evaluated(outcome) {
      if (outcome.loss !== null) evaluated(outcome.loss);
      return observer.evaluated(outcome);
    },
    checkpointWritten(...rest) {
      checkpointWritten();
      return observer.checkpointWritten(...rest);
    },
  });
  return {
    checkpointAssignment: (jobId) => fleet.checkpointAssignment(jobId),
    checkpointDamaged: (jobId, step) => fleet.checkpointDamaged(jobId, step),
    workers: () => fleet.workers(),
    measurers: () => fleet.measurers(),
    askToMeasure: (measurement) => fleet.askToMeasure(measurement),
    reinstate: (worker) => fleet.reinstate(worker),
    train: (job, observer, signal) => fleet.train(job, observed(observer), signal),
    forget: (jobId, end) => fleet.forget(jobId, end),
  };
}

function trainingMetrics(metrics: Metrics) {
  const counter = (name: string, help: string) => metrics.counter({ name, help });
  const gauge = (name: string, help: string) => metrics.gauge({ name, help });
  const steps = counter("steps_committed_total", "Steps committed");
  const discarded = counter("step_attempts_discarded_total", "Attempts of steps that were computed in vain");
  const excluded = counter("micro_batches_excluded_total", "Micro-batches left out of their step");
  const tokens = counter("trained_tokens_total", "Tokens that went through the model in committed steps");
  const labels = counter("trained_labels_total", "Tokens that the loss of committed steps counts");
  const bytes = counter(
    "allreduce_bytes_total",
    "Gradient payload that workers sent, failed attempts included",
  );
  const checkpoints = counter("checkpoints_written_total", "Checkpoints stored");
  const durations = metrics.histogram({
    name: "step_duration_seconds",
    help: "From one commit to the next",
  }, STEP_BUCKETS);
  const loss = gauge("training_loss", "Of the newest step, in nats per token");
  const evaluationLoss = gauge("evaluation_loss", "Of the newest evaluation, in nats per token");
  const gradientNorm = gauge("gradient_norm", "Of the newest step, before clipping");
  const workers = gauge("step_workers", "Workers that computed the newest step");
  return {
    step(report: StepReport) {
      steps.inc();
      discarded.inc(report.attempt - 1);
      excluded.inc(report.excluded.length);
      tokens.inc(report.tokenCount);
      labels.inc(report.labelCount);
      bytes.inc(report.gradientBytesSent);
      durations.observe(report.seconds);
      loss.set(report.loss);
      gradientNorm.set(report.gradientNorm);
      workers.set(report.workerCount);
    },
    evaluated: (value: number) => evaluationLoss.set(value),
    checkpointWritten: () => checkpoints.inc(),
  };
}
