/** Writes one export: its task, its process, its record and events. */
import type { ExportServiceOptions } from "./export_context.ts";
import { errorOf, putAnyway } from "./end_of_work.ts";
import { exportTaskOf } from "./export_task.ts";
import { createProgressEvents } from "./progress_events.ts";
import { type ExportRecord, isPushing, type MeasurementState } from "../record/export_record.ts";
import { failPush } from "./run_push_of.ts";
import { isMeasured } from "../record/export_request.ts";

const UNMEASURED: MeasurementState = { status: "waiting", worker: null, reason: null, failures: [] };

function reserveOf({ reserveBytes }: ExportServiceOptions): { readonly reserveBytes?: number } {
  const bytes = reserveBytes?.() ?? 0;
  return bytes === 0 ? {} : { reserveBytes: bytes };
}

/** One export, from queued to ended. With an aborted signal it stays as it is, for the next coordinator. */
export async function runExportOf(
  options: ExportServiceOptions,
  id: string,
  signal: AbortSignal,
): Promise<void> {
  const { exports, clock, run } = options;
  const update = (changes: Partial<ExportRecord>, isDurable = true) =>
    exports.put({ ...exports.get(id)!, ...changes }, isDurable);
  const events = createProgressEvents(options.jobs, () => exports.get(id)!);
  try {
    update({ status: "running", startedAt: clock.now(), bytesTotal: null, bytesDone: 0, error: null });
    events.began();
    const task = await exportTaskOf(options, exports.get(id)!, signal);
    const outputFolder = await exports.begin(id);
    const files = await run({ ...task, outputFolder, ...reserveOf(options) }, {
      signal,
      onMessage(message) {
        if (message.type === "planned") update({ bytesTotal: message.bytes });
        else update({ bytesDone: message.bytes }, false);
        events.progressed();
      },
    });
    signal.throwIfAborted();
    await exports.complete(id);
    const bytes = files.reduce((sum, { size }) => sum + size, 0);
    update({
      status: "succeeded",
      finishedAt: clock.now(),
      files: [...files],
      bytesTotal: bytes,
      bytesDone: bytes,
      measurement: isMeasured(task.request) ? UNMEASURED : null,
    });
    events.succeeded();
  } catch (thrown) {
    await exports.discard(id);
    if (signal.aborted) return;
    const error = errorOf(options, `export ${id} failed`, thrown);
    putAnyway(options, id, { status: "failed", finishedAt: clock.now(), error, files: [] });
    events.failed();
    if (isPushing(exports.get(id)!)) failPush(options, id, `its export failed: ${error.message}`);
  }
}
