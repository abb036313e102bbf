/** Submitting a job: what can be checked at once is checked before the job exists. */
import { LoraFleetError, quote } from "../../shared/errors.ts";
import type { JobSpec } from "../../shared/job/job_spec_schema.ts";
import { hubDatasetOf } from "../datasets/job_dataset.ts";
import type { ParsedJobRequest } from "../job_request/parse.ts";
import { RESULT_PURPOSE } from "./files/result_files.ts";
import type { FileStore } from "./files/file_store.ts";
import type { JobContext } from "./job_context.ts";
import { type JobRecord, newJob } from "./record/job.ts";
import type { Owner } from "./record/owner.ts";
import { onResumed } from "./results/resumed.ts";
import { onTunedBase } from "./results/tuned_base.ts";
import type { FileRecord, NewJobEvent } from "./stores/job_store.ts";

/** Makes a request a job that is not stored yet. Throws `invalid_request`, `model_not_found`, `invalid_model`. */
export async function checkSubmission(
  context: Pick<
    JobContext,
    | "store"
    | "files"
    | "artifacts"
    | "models"
    | "datasets"
    | "clock"
    | "newId"
    | "checkModel"
    | "admitTracking"
    | "admitAfterwards"
  >,
  request: ParsedJobRequest,
  owner: Pick<Owner, "id"> | null = null,
): Promise<{ job: JobRecord; events: NewJobEvent[] }> {
  const { store, files, models, clock, newId, checkModel, admitTracking, admitAfterwards } = context;
  const { spec: pinned, data, notes } = await checkData(context, request.spec);
  const { spec, suffix, metadata, validationFile, warnings } = onTunedBase(
    store,
    await onResumed(context, { ...request, spec: pinned }),
  );
  if (validationFile !== null) uploadOf(files, "validation_file", validationFile);
  const { folder } = await models.check(spec.model);
  // A model on a hub is checked once it is downloaded (prepare_requests.ts).
  const checked = folder === null ? { spec, warnings: [] } : await checkModel(spec, folder);
  const tracking = request.tracking === null ? null : await admitTracking(request.tracking);
  const { afterwards } = request;
  if (afterwards !== null) await admitAfterwards(afterwards, spec.model);
  const id = newId("ftjob");
  const createdAt = clock.now();
  const event = (level: NewJobEvent["level"], message: string): NewJobEvent => (
    { jobId: id, createdAt, level, type: "message", message, data: null }
  );
  const job = newJob({
    ...{ id, createdAt, spec: checked.spec, suffix, metadata, validationFile, tracking },
    ...owner === null ? {} : { owner: owner.id },
    ...afterwards === null ? {} : { afterwards },
  });
  const events = [
    event("info", `Created the job ${id}: ${request.spec.model} on ${data}.`),
    ...[...warnings, ...notes, ...checked.warnings].map((warning) => event("warn", warning)),
  ];
  return { job, events };
}

/** The job's rows exist. A dataset on a hub is pinned: what the job trains on must not change under it. */
async function checkData(
  { files, datasets }: Pick<JobContext, "files" | "datasets">,
  spec: JobSpec,
): Promise<{ readonly spec: JobSpec; readonly data: string; readonly notes: readonly string[] }> {
  const dataset = hubDatasetOf(spec);
  if (dataset === null) {
    return { spec, data: uploadOf(files, "training_file", spec.training_file).filename, notes: [] };
  }
  const { commit, warnings } = await datasets.check(dataset);
  const pinned = { ...spec, dataset: { ...spec.dataset, revision: commit } };
  return { spec: pinned, data: `${dataset.path} at commit ${commit}`, notes: warnings };
}

function uploadOf(files: FileStore, param: string, id: string): FileRecord {
  const file = files.find(id);
  if (file !== null && file.purpose !== RESULT_PURPOSE) return file;
  const message = `${param} ${quote(id)} is not an uploaded file: upload it with POST /v1/files, purpose ` +
    `"fine-tune"`;
  throw new LoraFleetError("invalid_request", message, { param });
}
