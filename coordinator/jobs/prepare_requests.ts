/** What preparing a job takes: its base model, downloaded if necessary, and its training file. */
import { assertWithinBounds } from "../../shared/job/job_bounds.ts";
import type { JobSpec } from "../../shared/job/job_spec_schema.ts";
import { downloadEvents } from "../base_models/download_events.ts";
import type { ResolvedModel } from "../base_models/registry.ts";
import { createKeyedTurns } from "../planning/preparation/turns.ts";
import type { JobContext, RequestOf } from "./job_context.ts";
import { dataOf, validationFilesOf } from "./job_data.ts";

/** Rejects with a `LoraFleetError` that names the field or file, or with the reason of an aborted signal. */
export function createRequests(context: JobContext): RequestOf {
  const { journal, models } = context;
  const modelTurnOf = createKeyedTurns();

  return async (id, signal) => {
    const { spec: stored, validationFile } = journal.get(id);
    assertWithinBounds(stored);
    const progressOf = (what: string) =>
      downloadEvents(context.clock, what, (message, data) => journal.record(id, "info", message, data));
    // Two jobs on a missing base model would download it twice.
    const endTurn = await modelTurnOf(stored.model)(signal);
    const model = await models.resolve(stored.model, { signal, onProgress: progressOf(stored.model) })
      .finally(endTurn);
    signal.throwIfAborted();
    const spec = await checkDownloaded(context, id, model);
    signal.throwIfAborted();
    const onProgress = progressOf(spec.dataset.path ?? "");
    const data = await dataOf(context, spec, { signal, onProgress });
    return {
      id,
      spec,
      model,
      ...data,
      validationFiles: await validationFilesOf(context, { spec, validationFile }, { signal, onProgress }),
      signal,
      event: (level, message, data) => journal.record(id, level, message, data ?? null),
    };
  };
}

/** The check that a local base model gets at submission comes after the download of any other. */
async function checkDownloaded(
  { journal, store, checkModel }: JobContext,
  id: string,
  { folder, isFromHub }: ResolvedModel,
): Promise<JobSpec> {
  const job = journal.get(id);
  if (isFromHub !== true || job.status !== "validating_files") return job.spec;
  const { spec, warnings } = await checkModel(job.spec, folder);
  if (spec !== job.spec) store.putJob({ ...journal.get(id), spec }, []);
  for (const warning of warnings) journal.record(id, "warn", warning);
  return spec;
}
