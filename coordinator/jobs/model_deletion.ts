/** Deleting the models that jobs have made. */
import { LoraFleetError, quote } from "../../shared/errors.ts";
import type { JobContext } from "./job_context.ts";
import { namesOfAdapter, tunedModel } from "./results/tuned_models.ts";

/** See `JobService.deleteModel`. */
export async function deleteTunedModel(
  { store, journal, files, artifacts }: JobContext,
  name: string,
): Promise<void> {
  const model = tunedModel(store, name);
  const { job, checkpoint } = model;
  const user = store.unfinishedJobs().find(({ spec }) =>
    [spec.initial_adapter?.model, spec.resumed_state?.model].includes(name)
  );
  if (user !== undefined) {
    const message = `cannot delete model ${quote(name)}: job ${quote(user.id)}, which is ${user.status}, ` +
      "trains on from it; cancel that job first";
    throw new LoraFleetError("conflict", message, { param: "model" });
  }
  journal.apply(job.id, { type: "modelDeleted", name });
  if (namesOfAdapter({ ...model, job: journal.get(job.id) }).length > 0) return;
  files.forgetResults(job.id, checkpoint.step);
  await artifacts.drop(job.id, checkpoint.step);
}
