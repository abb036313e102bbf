/** This worker's turn to write a checkpoint: stores the adapter of a commit, and reports what became of it. */
import { messageOf } from "../../shared/errors.ts";
import { encodeMessage } from "../../shared/protocol/messages_codec.ts";
import { receivedSchema } from "../../shared/protocol/messages_coordinator.ts";
import { type CheckpointReport, checkpointReportSchema } from "../../shared/protocol/messages_worker.ts";
import type { JobAnnouncement, StepState } from "../../shared/protocol/messages_coordinator.ts";
import { checkpointSubject } from "../../shared/protocol/subjects.ts";
import { askUntilAnswered } from "../async/ask.ts";
import type { StepEngine } from "../engine/engine.ts";
import type { TrainStepOptions } from "../step/step_context.ts";

/** Writes the engine's adapter and uploads it. */
export type WriteCheckpoint = (
  engine: Pick<StepEngine, "writeAdapter" | "writeState">,
  job: JobAnnouncement,
  step: number,
  signal: AbortSignal,
) => Promise<Extract<CheckpointReport["outcome"], { type: "written" }>["files"]>;

interface StoreCheckpointOptions
  extends
    Pick<TrainStepOptions, "engine" | "job" | "self" | "control" | "states" | "clock" | "limits" | "log"> {
  readonly writeCheckpoint: WriteCheckpoint;
}

/** The longest reason that fits a report. */
const MAX_REASON_LENGTH = 4000;

/**
 * Whether the adapter is stored and reported. After a reported failure it waits for the next state. Rejects when `states` is
 * closed.
 */
export async function storeCheckpoint(options: StoreCheckpointOptions, state: StepState): Promise<boolean> {
  const { job: { jobId }, self, control: bus, states, clock, limits } = options;
  const { step } = state.committed!;
  const { signal, end } = states.watch((newer) =>
    newer.phase === "checkpoint" && newer.committed?.step === step && newer.checkpointWriter === self.worker
  );
  try {
    const outcome = await outcomeOf(options, step, signal);
    await askUntilAnswered({
      ...{ bus, clock, answer: receivedSchema, timeoutMs: limits.requestTimeoutMs, signal },
      subject: checkpointSubject(jobId, self.worker),
      data: encodeMessage(checkpointReportSchema, { ...self, step, outcome }),
    });
    if (outcome.type === "written") return true;
    await states.after(state);
  } catch (thrown) {
    if (!signal.aborted) throw thrown;
    states.closed.throwIfAborted();
  } finally {
    end();
  }
  return false;
}

async function outcomeOf(
  { engine, job, log, writeCheckpoint }: StoreCheckpointOptions,
  step: number,
  signal: AbortSignal,
): Promise<CheckpointReport["outcome"]> {
  try {
    const files = await writeCheckpoint(engine, job, step, signal);
    log("info", `the adapter of step ${step} is stored`);
    return { type: "written", files };
  } catch (thrown) {
    signal.throwIfAborted();
    log("error", `the adapter of step ${step} is not stored: ${messageOf(thrown)}`);
    return { type: "failed", reason: messageOf(thrown).slice(0, MAX_REASON_LENGTH) };
  }
}
