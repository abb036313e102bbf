/** A worker's checkpoint counts once its files are stored and are the state that was committed. */
import { messageOf } from "../../../shared/errors.ts";
import { STATE_FILE_NAME } from "../../../shared/protocol/checkpoint_format.ts";
import type { CheckpointReport } from "../../../shared/protocol/messages_worker.ts";
import { isSameLayout } from "../../training/members/eligibility.ts";
import type { RunContext } from "./run_context.ts";

/** The report as it arrived, or as a failure if the files do not hold what it claims. */
export async function checkCheckpoint(run: RunContext, report: CheckpointReport): Promise<CheckpointReport> {
  const { artifacts, job, savesState, training } = run;
  const { worker, step, outcome } = report;
  const { phase, committed, checkpointWriter } = training;
  const isAwaited = phase === "checkpoint" && committed?.step === step && checkpointWriter === worker;
  if (outcome.type === "failed" || !isAwaited) return report;
  if (savesState && !outcome.files.some(({ name }) => name === STATE_FILE_NAME)) {
    return asFailure(report, `${STATE_FILE_NAME} is not among its files`);
  }
  const layout = isSameLayout(training.layout, run.layout) ? run.layout : null;
  const truth = { digest: committed.digest, layout };
  const accepted = await artifacts.accept(job.id, step, worker, outcome.files, truth)
    .catch((thrown) => ({ fault: `its files could not be stored: ${messageOf(thrown)}` }));
  if ("fault" in accepted) return asFailure(report, accepted.fault);
  if (savesState) run.storedState = await artifacts.state(job.id, step) ?? run.storedState;
  const files = accepted.files.map(({ name, size, sha256 }) => ({ name, size, sha256 }));
  return { ...report, outcome: { type: "written", files } };
}

export function asFailure(report: CheckpointReport, reason: string): CheckpointReport {
  return { ...report, outcome: { type: "failed", reason } };
}
