/** Exports one after the other, oldest first. One that is interrupted stays as it is. */
import { LoraFleetError, messageOf } from "../../shared/errors.ts";
import type { ExportServiceOptions } from "./export_context.ts";
import { exportTaskOf } from "./export_task.ts";
import { createProgressEvents } from "./progress_events.ts";
import { type ExportRecord, isEnded } from "./record/export_record.ts";

interface ExportQueue {
  /** Starts the next export if none runs. Call it after every change that may have added one. */
  startNext(): void;
  /** Ends an export if it runs; it never runs again. */
  stop(id: string): Promise<void>;
  start(): void;
  stopAll(): Promise<void>;
}

const STOPPING = new LoraFleetError("aborted", "the coordinator is stopping");
const DELETED = new LoraFleetError("aborted", "the export was deleted");

interface Running {
  readonly id: string;
  readonly controller: AbortController;
  readonly ended: Promise<void>;
}

export function createExportQueue(options: ExportServiceOptions): ExportQueue {
  const { exports, onDefect } = options;
  let [running, isStarted]: [Running | null, boolean] = [null, false];
  /** Stopped, but their records may still be there: they must not begin again. */
  const stopped = new Set<string>();

  const startNext = (): void => {
    const isNext = (record: ExportRecord) => !isEnded(record) && !stopped.has(record.id);
    const next = running === null && isStarted ? exports.all().find(isNext) : undefined;
    if (next === undefined) return;
    const controller = new AbortController();
    const ended = runOne(options, next.id, controller.signal)
      .catch((thrown) => onDefect(`export ${next.id} is stuck`, thrown))
      .finally(() => running = null);
    running = { id: next.id, controller, ended };
    ended.then(startNext);
  };

  return {
    startNext,
    async stop(id) {
      stopped.add(id);
      if (running?.id !== id) return;
      running.controller.abort(DELETED);
      await running.ended;
    },
    start() {
      isStarted = true;
      startNext();
    },
    async stopAll() {
      isStarted = false;
      running?.controller.abort(STOPPING);
      await running?.ended;
    },
  };
}

/** One export, from queued to ended. With an aborted signal it stays as it is, for the next coordinator. */
async function runOne(options: ExportServiceOptions, id: string, signal: AbortSignal): Promise<void> {
  const { exports, clock, run } = options;
  const update = (changes: Partial<ExportRecord>, isDurable = true) =>
    exports.put({ ...exports.get(id)!, ...changes }, isDurable);
  const events = createProgressEvents(options.jobs, () => exports.get(id)!);
  try {
    update({ status: "running", startedAt: clock.now(), bytesTotal: null, bytesDone: 0, error: null });
    events.began();
    const task = await exportTaskOf(options, exports.get(id)!, signal);
    const outputFolder = await exports.begin(id);
    const files = await run({ ...task, outputFolder }, {
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
    });
    events.succeeded();
  } catch (thrown) {
    await exports.discard(id);
    if (signal.aborted) return;
    if (!(thrown instanceof LoraFleetError)) options.onDefect(`export ${id} failed`, thrown);
    const { code, param } = thrown instanceof LoraFleetError
      ? thrown
      : { code: "internal_error", param: null };
    const error = { code, message: messageOf(thrown), param };
    fail(options, id, { status: "failed", finishedAt: clock.now(), error, files: [] });
    events.failed();
  }
}

/** The disk may be too full even for the record: then the memory has it, and the next coordinator tries again. */
function fail({ exports, onDefect }: ExportServiceOptions, id: string, changes: Partial<ExportRecord>): void {
  const record = { ...exports.get(id)!, ...changes };
  try {
    exports.put(record);
  } catch (thrown) {
    exports.put(record, false);
    onDefect(`the failure of export ${id} is not stored`, thrown);
  }
}
