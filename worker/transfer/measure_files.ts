/** A measurement over HTTP: the task, the adapter and the rows in; the result out. */
import { join } from "@std/path";
import { LoraFleetError, messageOf } from "../../shared/errors.ts";
import {
  type MeasureOutcome,
  type MeasureTask,
  measureTaskSchema,
} from "../../shared/protocol/messages_measure.ts";
import { withDeadline } from "../async/abortable.ts";
import type { Runtime } from "../async/runtime.ts";
import { downloadFile } from "./download.ts";
import type { CoordinatorApi, Fetch } from "./http.ts";

interface MeasureTransfer extends Runtime {
  readonly fetch: Fetch;
}

const pathOf = (exportId: string) => `/internal/exports/${exportId}/measurement`;
/** A coordinator prepares the rows meanwhile, if its cache has lost them. */
const TASK_MS = 600_000;

/** Rejects with `conflict` if the coordinator has nothing to measure for this worker any more, and with `timeout`. */
export async function fetchMeasureTask(
  { fetch, clock }: MeasureTransfer,
  { httpUrl, token }: CoordinatorApi,
  exportId: string,
  signal: AbortSignal,
): Promise<MeasureTask> {
  const what = "asking for the task of a measurement";
  const headers = { authorization: `Bearer ${token}` };
  const [status, text] = await withDeadline(clock, TASK_MS, what, signal, async (signal) => {
    const response = await fetch(`${httpUrl}${pathOf(exportId)}`, { headers, signal, redirect: "error" });
    return [response.status, await response.text()] as const;
  });
  if (status !== 200) throw new LoraFleetError("conflict", `${what} failed: ${status} ${text.slice(0, 500)}`);
  const parsed = measureTaskSchema.safeParse(JSON.parse(text));
  if (parsed.success) return parsed.data;
  const { path, message } = parsed.error.issues[0]!;
  throw new LoraFleetError("corrupt", `${what} failed: ${path.join(".")}: ${message}`);
}

/** Into `folder`, each compared with its SHA-256. Rejects as `downloadFile`. */
export async function fetchMeasureFiles(
  options: MeasureTransfer,
  { httpUrl, token }: CoordinatorApi,
  { exportId, files }: Pick<MeasureTask, "exportId" | "files">,
  folder: string,
  signal: AbortSignal,
): Promise<void> {
  for (const file of files) {
    const url = `${httpUrl}${pathOf(exportId)}/files/${encodeURIComponent(file.name)}`;
    await downloadFile({ ...options, file, path: join(folder, file.name), signal, url, token });
  }
}

/** Retries until the coordinator has answered. Rejects with the signal's reason. */
export async function sendMeasured(
  { fetch, clock, limits, log }: MeasureTransfer,
  api: () => CoordinatorApi,
  exportId: string,
  outcome: MeasureOutcome,
  signal: AbortSignal,
): Promise<void> {
  for (;;) {
    const { httpUrl, token } = api();
    const headers = { "authorization": `Bearer ${token}`, "content-type": "application/json" };
    const init = {
      method: "PUT",
      headers,
      body: JSON.stringify(outcome),
      signal,
      redirect: "error",
    } as const;
    try {
      const response = await fetch(`${httpUrl}${pathOf(exportId)}`, init);
      const text = await response.text();
      if (response.ok) return;
      // Taken away meanwhile, or measured by a different worker: nothing is lost.
      if (response.status < 500) {
        return log("info", `the measurement is not needed any more: ${text.slice(0, 500)}`);
      }
    } catch (thrown) {
      signal.throwIfAborted();
      log("warn", `handing in a measurement failed, trying again: ${messageOf(thrown)}`);
    }
    await clock.sleep(limits.retryIntervalMs, signal);
  }
}
