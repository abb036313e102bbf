/** Pushes one export to the hub. A push that is interrupted goes on with the next coordinator: nothing is sent twice. */
import type { ExportServiceOptions } from "./export_context.ts";
import { errorOf, putAnyway } from "./end_of_work.ts";
import { paceProgress } from "../../../shared/hub/progress.ts";
import type { ExportPush } from "../record/export_record.ts";

/** Between two events about the bytes. */
const PROGRESS_EVERY_MS = 15_000;

export async function runPushOf(
  options: ExportServiceOptions,
  id: string,
  signal: AbortSignal,
): Promise<void> {
  const { exports, jobs, hub, clock, runPush } = options;
  const { jobId, push } = exports.get(id)!;
  if (push === null) return;
  const { hub_model_id: repo, hub_private_repo: isPrivate, hub_revision: branch } = push;
  const update = (changes: Partial<ExportPush>) => putAnyway(options, id, { push: { ...push, ...changes } });
  const event = (level: "info" | "error", text: string) =>
    jobs.record(jobId, level, `Export ${id} ${text}`, { export_id: id, hub_model_id: repo });
  let totalBytes = 0;
  const progressed = paceProgress({
    ...{ clock, everyMs: PROGRESS_EVERY_MS, what: repo, verbs: ["Pushing", "Pushed"] },
    report: (message, data) => jobs.record(jobId, "info", message, { export_id: id, ...data }),
  });
  update({ status: "running" });
  event("info", `is being pushed to ${repo}.`);
  try {
    const task = {
      folder: exports.folderOf(id),
      repo,
      isPrivate,
      branch,
      title: `Upload of job ${jobId}`,
      hub,
    };
    const { url, commit } = await runPush(task, {
      signal,
      onMessage({ type, bytes }) {
        if (type === "planned") totalBytes = bytes;
        progressed({ path: repo, doneBytes: type === "planned" ? 0 : bytes, totalBytes });
      },
    });
    signal.throwIfAborted();
    update({ status: "succeeded", url, commit, error: null });
    event("info", `is pushed: ${url}`);
  } catch (thrown) {
    if (signal.aborted) return;
    const error = errorOf(options, `the push of export ${id} failed`, thrown);
    update({ status: "failed", error });
    event("error", `is not pushed: ${error.message}`);
  }
}

/** A push whose export is not there to be pushed. */
export function failPush(options: ExportServiceOptions, id: string, message: string): void {
  const { jobId, push } = options.exports.get(id)!;
  const error = { code: "conflict", message, param: null };
  putAnyway(options, id, { push: { ...push!, status: "failed", error } });
  const data = { export_id: id, hub_model_id: push!.hub_model_id };
  options.jobs.record(jobId, "error", `Export ${id} is not pushed: ${message}`, data);
}
