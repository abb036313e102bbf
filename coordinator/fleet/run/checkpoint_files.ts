/** A worker's checkpoint counts once its files are stored and are the state that was committed. */
import { messageOf } from "../../../shared/errors.ts";
import { STATE_FILE_NAME } from "../../../shared/protocol/state/checkpoint_format.ts";
import type { CheckpointReport } from "../../../shared/protocol/messages_worker.ts";
import { isSameLayout } from "../../training/members/eligibility.ts";
import { isPissa } from "../../../shared/job/pissa.ts";
import type { CheckpointTruth } from "../../storage/checkpoint_check.ts";
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
  const truth: CheckpointTruth = {
    ...{ digest: committed.digest, layout },
    ...isPissa(job.spec.lora) ? { pissa: { startDigest: startOfMost(run) } } : {},
  };
  const accepted = await artifacts.accept(job.id, step, worker, outcome.files, truth)
    .catch((thrown) => ({ fault: `its files could not be stored: ${messageOf(thrown)}` }));
  if ("fault" in accepted) return asFailure(report, accepted.fault);
  if (savesState) run.storedState = await artifacts.state(job.id, step) ?? run.storedState;
  const files = accepted.files.map(({ name, size, sha256 }) => ({ name, size, sha256 }));
  return { ...report, outcome: { type: "written", files } };
}

/** The digest of the start that most workers report; null if two have as many, so that neither is known to be right. */
function startOfMost({ training: { fleet } }: RunContext): string | null {
  const counts = new Map<string, number>();
  for (const { job } of fleet.members) {
    const digest = job?.phase === "loaded" ? job.pissaDigest : undefined;
    if (digest !== undefined) counts.set(digest, 1 + (counts.get(digest) ?? 0));
  }
  const [first, second] = [...counts].sort(([, a], [, b]) => b - a);
  return first === undefined || first[1] === second?.[1] ? null : first[0];
}

export function asFailure(report: CheckpointReport, reason: string): CheckpointReport {
  return { ...report, outcome: { type: "failed", reason } };
}
