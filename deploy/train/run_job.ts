/** A run's job from its creation to its end: created once, followed, and what is kept of one that fails. */
import { join } from "@std/path";
import type { Clock } from "../../shared/clock.ts";
import { LoraFleetError } from "../../shared/errors.ts";
import type { ApiClient, Job } from "../client/api_client.ts";
import { downloadCheckpoint, newestCheckpoint } from "../client/checkpoints.ts";
import { patiently } from "../client/reconnection.ts";
import type { Progress } from "../terminal/progress.ts";
import { type JobBody, mergeBodies } from "./job_body.ts";
import type { RunState } from "./run_state.ts";

export interface JobRun {
  readonly api: ApiClient;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly progress: Pick<Progress, "note" | "step" | "stop">;
  readonly state: RunState;
  readonly outFolder: string;
  /** Without its rows. */
  readonly body: JobBody;
  /** Uploads the rows and gives the job's fields for them. */
  readonly upload: () => Promise<JobBody>;
  /** Rejects for a job whose results cannot come to be. */
  readonly admit: (request: JobBody) => Promise<void>;
  /** Ends our own coordinator, which writes into the run's folder until then. */
  readonly stopFleet: () => Promise<void>;
}

/** Creates the job, or finds the one that was interrupted, and follows it to its end. Throws `aborted` unless it succeeds. */
export async function runJob(run: JobRun): Promise<Job> {
  const { api, clock, signal, state, progress } = run;
  const isNew = state.jobId === null;
  const id = state.jobId ?? await createJob(run);
  let after = "";
  if (!isNew) {
    progress.note(`resuming ${id}`);
    after = await api.newestEvent(id);
    const { status } = await api.job(id);
    if (status === "paused") await api.post(`/v1/fine_tuning/jobs/${id}/resume`, {});
  }
  for await (const event of api.events(id, after)) {
    if (event.kind === "metrics") progress.step(event.metrics);
    else progress.note(event.level === "info" ? event.message : `${event.level}: ${event.message}`);
  }
  progress.stop();
  const job = await patiently(clock, signal, () => api.job(id));
  if (job.status === "succeeded") return job;
  const kept = await keepCheckpoint(run, id);
  await run.stopFleet();
  if (kept === null) await state.forget();
  const reason = job.status === "cancelled"
    ? "the job was cancelled"
    : `the job has ${job.status}: ${job.error?.message ?? "no reason was given"}`;
  throw new LoraFleetError("aborted", kept === null ? reason : `${reason}\n${kept}`);
}

/**
 * A request is recorded before it is sent, and sent again with its key until it is answered, so that an interruption at that moment
 * makes no second job.
 */
async function createJob(run: JobRun): Promise<string> {
  const { api, clock, signal, state, progress } = run;
  for (;;) {
    const isRepeated = state.request !== null;
    if (!isRepeated) {
      const request = mergeBodies(resumed(run), await run.upload());
      await run.admit(request);
      await state.update({ request: { key: crypto.randomUUID(), body: request } });
    } else progress.note("asking again for the job that was being created");
    const { key, body } = state.request!;
    try {
      const { id } = await patiently(clock, signal, () => api.createJob(body, key));
      await state.update({ jobId: id, request: null });
      return id;
    } catch (thrown) {
      if (!(thrown instanceof LoraFleetError) || thrown.code !== "invalid_request") throw thrown;
      // Nothing was created. What an earlier command uploaded may be gone, so that it is uploaded again.
      await state.update({ request: null });
      if (!isRepeated) throw thrown;
    }
  }
}

/** A job after one that failed goes on from that one's checkpoint, unless the user names another. */
function resumed({ state: { failed }, body, progress }: JobRun): JobBody {
  const from = "resume_from_checkpoint";
  const training = body["training"] as JobBody | undefined;
  if (failed === null || training?.[from] !== undefined) return body;
  progress.note(
    `going on from the checkpoint of step ${failed.step} of ${failed.jobId}, which was not finished`,
  );
  return mergeBodies(body, { training: { [from]: failed.jobId } });
}

/** Keeps the newest checkpoint of a job that has failed, and says where it is; null if this run has none. */
async function keepCheckpoint(
  { api, clock, signal, state, outFolder, progress }: JobRun,
  id: string,
): Promise<string | null> {
  const step = await patiently(clock, signal, () => newestCheckpoint(api, id));
  const failed = step === null ? state.failed : { jobId: id, step };
  if (failed === null) return null;
  const folder = join(outFolder, `checkpoint-${failed.step}`);
  if (step !== null) {
    progress.note(`downloading the adapter of step ${step} into ${folder}`);
    await patiently(clock, signal, () => downloadCheckpoint(api, id, step, folder));
  }
  await state.update({ jobId: null, request: null, failed });
  return `The adapter of step ${failed.step} is in ${folder}. The same command goes on from there, --resume does with ` +
    "other settings, --fresh begins anew";
}
