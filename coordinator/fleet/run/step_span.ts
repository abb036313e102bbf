/** The span of what a job's training does now: an attempt of a step, an evaluation, a checkpoint. */
import { type Span, startSpan, traceparentOf } from "../../../shared/protocol/spans.ts";
import type { Training } from "../../training/state/training.ts";

type Moment = Pick<Training, "phase" | "step" | "attempt" | "members" | "committed">;

export interface StepSpan {
  /** The training as a decision left it. */
  follow(training: Moment): void;
  /** For the workers; undefined while nothing is recorded. */
  readonly traceparent: string | undefined;
  end(): void;
}

export function createStepSpan(jobId: string): StepSpan {
  let key: string | null = null;
  let span: Span | null = null;
  let phase = "";
  const end = () => {
    span?.end();
    span = key = null;
    phase = "";
  };
  return {
    follow(training) {
      const name = nameOf(training);
      const { step, attempt, members, committed } = training;
      const about = name === "step" ? { step, attempt } : { step: committed?.step ?? 0 };
      const now = name === null ? null : JSON.stringify([name, about]);
      if (now !== key) {
        end();
        key = now;
        if (name !== null) span = startSpan(name, { job: jobId, workers: members.length, ...about });
      }
      if (phase !== training.phase) span?.addEvent(phase = training.phase);
    },
    get traceparent() {
      return span === null ? undefined : traceparentOf(span);
    },
    end,
  };
}

/** Null while there is nothing to do. */
function nameOf({ phase, attempt }: Moment): "start" | "step" | "evaluate" | "checkpoint" | null {
  // The workers agree on the initial adapter.
  if (phase === "commit" && attempt === 0) return "start";
  if (phase === "compute" || phase === "reduce" || phase === "commit") return "step";
  return phase === "evaluate" || phase === "checkpoint" ? phase : null;
}
