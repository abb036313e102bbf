/** Exports one after the other, oldest first. One that is interrupted stays as it is. */
import { LoraFleetError } from "../../shared/errors.ts";
import type { ExportServiceOptions } from "./work/export_context.ts";
import type { Measurer } from "./measure/measurer.ts";
import { type ExportRecord, isEnded, isIdle } from "./record/export_record.ts";
import { runExportOf } from "./work/run_export_of.ts";
import { runPushOf } from "./work/run_push_of.ts";

interface ExportQueue {
  /** Starts the next export if none runs. Call it after every change that may have added one. */
  startNext(): void;
  /** Ends an export if it runs; it never runs again. */
  stop(id: string): Promise<void>;
  /** Whether the export is on its way out, if it is there at all. */
  isStopped(id: string): boolean;
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

/** @param measurer whose numbers a push waits for */
export function createExportQueue(
  options: ExportServiceOptions,
  measurer: Pick<Measurer, "isDue" | "look">,
): ExportQueue {
  const { exports, onDefect } = options;
  let [running, isStarted]: [Running | null, boolean] = [null, false];
  /** Stopped, but their records may still be there: they must not begin again. */
  const stopped = new Set<string>();

  const startNext = (): void => {
    const isNext = (record: ExportRecord) =>
      !isIdle(record) && !stopped.has(record.id) && !(isEnded(record) && measurer.isDue(record));
    const next = running === null && isStarted ? exports.all().find(isNext) : undefined;
    if (next === undefined) return;
    const controller = new AbortController();
    const work = isEnded(next) ? runPushOf : runExportOf;
    const ended = work(options, next.id, controller.signal)
      .catch((thrown) => onDefect(`export ${next.id} is stuck`, thrown))
      .finally(() => running = null);
    running = { id: next.id, controller, ended };
    ended.then(() => measurer.look()).then(startNext);
  };

  return {
    startNext,
    isStopped: (id) => stopped.has(id),
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
