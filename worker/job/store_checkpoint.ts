/** This worker's turn to write a checkpoint: stores the adapter of a commit, and reports the outcome. */
import { messageOf } from "../../shared/errors.ts";
import { encodeMessage } from "../../shared/protocol/messages_codec.ts";
import {
  type JobAnnouncement,
  receivedSchema,
  type StepState,
} from "../../shared/protocol/messages_coordinator.ts";
import { type CheckpointReport, checkpointReportSchema } from "../../shared/protocol/messages_worker.ts";
import { checkpointSubject } from "../../shared/protocol/subjects.ts";
import { askUntilAnswered } from "../async/ask.ts";
import type { StepEngine } from "../engine/engine.ts";
import { MAX_REASON_LENGTH } from "../step/reports.ts";
import { inStepSpan } from "../step/step_spans.ts";
import type { TrainStepOptions } from "../step/step_context.ts";

/** Writes the engine's adapter and uploads it. */
export type WriteCheckpoint = (
  engine: Pick<StepEngine, "writeAdapter" | "writeState">,
  job: JobAnnouncement,
  step: number,
  signal: AbortSignal,
) => Promise<Extract<CheckpointReport["outcome"], { type: "written" }>["files"]>;

type StoreCheckpointOptions =
  & Pick<TrainStepOptions, "engine" | "job" | "self" | "control" | "states" | "clock" | "limits" | "log">
  & { readonly writeCheckpoint: WriteCheckpoint };

/** Whether the adapter is stored and reported. Waits for the next state after a failure. Rejects when `states` is closed. */
export async function storeCheckpoint(options: StoreCheckpointOptions, state: StepState): Promise<boolean> {
  const { job: { jobId }, self, control: bus, states, clock, limits } = options;
  const { step } = state.committed!;
  const { signal, end } = states.watch((newer) =>
    newer.phase === "checkpoint" && newer.committed?.step === step && newer.checkpointWriter === self.worker
  );
  try {
    const writing = () => outcomeOf(options, step, signal);
    const outcome = await inStepSpan(options, state, "checkpoint", { step }, writing);
    const subject = checkpointSubject(jobId, self.worker);
    const data = encodeMessage(checkpointReportSchema, { ...self, step, outcome });
    await askUntilAnswered({ bus, clock, limits, subject, data, signal }, receivedSchema);
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
