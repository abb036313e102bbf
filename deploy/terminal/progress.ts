/** Progress of the training: a bar on a terminal, plain lines elsewhere. */
// @ts-types="./cli_progress.d.ts"
import { SingleBar } from "cli-progress";
import { counted } from "../../shared/counted.ts";
import type { StepMetrics } from "../client/api_client.ts";

export interface Progress {
  step(metrics: StepMetrics): void;
  /** Prints a permanent line without breaking the bar. */
  note(line: string): void;
  stop(): void;
}

/** Seconds as `m:ss`, or `h:mm:ss` from an hour on. */
export function formatDuration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const two = (value: number) => String(value).padStart(2, "0");
  const minutes = Math.floor(whole / 60);
  return minutes < 60
    ? `${minutes}:${two(whole % 60)}`
    : `${Math.floor(minutes / 60)}:${two(minutes % 60)}:${two(whole % 60)}`;
}

/**
 * The numbers of a step as text, in display order. The names avoid cli-progress's own placeholders (bar, percentage, total,
 * value, eta, duration), which would take precedence.
 */
function describeStep(metrics: StepMetrics): Record<"loss" | "speed" | "workers" | "timeLeft", string> {
  return {
    loss: metrics.train_loss.toFixed(4),
    speed: `${Math.round(metrics.tokens_per_second)} tokens/s`,
    workers: counted(metrics.workers, "worker"),
    timeLeft: formatDuration(metrics.eta_seconds),
  };
}

/** One line for one step. */
export function formatStep(metrics: StepMetrics): string {
  const { loss, speed, workers, timeLeft } = describeStep(metrics);
  return `step ${metrics.step}/${metrics.total_steps}  loss ${loss}  ${speed}  ${workers}  ETA ${timeLeft}`;
}

/** About 20 plain lines over the whole job, including the last step. */
export function plainProgress(write: (line: string) => void): Progress {
  return {
    step: (metrics) => {
      const every = Math.ceil(metrics.total_steps / 20);
      if (metrics.step === 1 || metrics.step % every === 0 || metrics.step === metrics.total_steps) {
        write(formatStep(metrics));
      }
    },
    note: write,
    stop: () => {},
  };
}

/** A bar on `stream`, by default stderr. */
export function barProgress(write: (line: string) => void, stream?: unknown): Progress {
  const bar = new SingleBar({
    format: "{bar} step {value}/{total}  loss {loss}  {speed}  {workers}  ETA {timeLeft}",
    ...(stream === undefined ? {} : { stream }),
    hideCursor: true,
  });
  let last: StepMetrics | null = null;
  const show = (metrics: StepMetrics) => bar.start(metrics.total_steps, metrics.step, describeStep(metrics));
  return {
    step: (metrics) => {
      if (last === null) show(metrics);
      else bar.update(metrics.step, describeStep(metrics));
      last = metrics;
    },
    note: (line) => {
      if (last !== null) bar.stop();
      write(line);
      if (last !== null) show(last);
    },
    stop: () => {
      if (last !== null) bar.stop();
      last = null;
    },
  };
}
