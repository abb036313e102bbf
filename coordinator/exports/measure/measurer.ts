/**
 * Has merges measured by workers without being asked: one at a time, by an idle worker, again if that one is gone. Nothing of it is
 * needed after a restart but the records: what was being measured is asked for again.
 */
import { LoraFleetError, messageOf, quote } from "../../../shared/errors.ts";
import type { MeasureOutcome, MeasureTask } from "../../../shared/protocol/messages_measure.ts";
import type { ExportServiceOptions } from "../work/export_context.ts";
import { type ExportRecord, isUnmeasured } from "../record/export_record.ts";
import { type Assigned, decideMeasurement } from "./decide_measurement.ts";
import { createMeasureRecords, type MeasureRecords } from "./measure_records.ts";
import { type PreparedMeasurement, prepareMeasurement, type ServedFile } from "./measure_task.ts";

export interface Measurer {
  /** Begins to look for workers. Call it after every change that may have made something to measure. */
  look(): void;
  /** The task of the worker that is to measure this export. Rejects with `conflict` for any other, and if it cannot be prepared. */
  task(worker: string, exportId: string): Promise<MeasureTask>;
  /** Throws `conflict`, `not_found`. */
  file(worker: string, exportId: string, name: string): Promise<ServedFile>;
  /** Throws `conflict` if this worker is not to measure this export any more. */
  finish(worker: string, exportId: string, outcome: MeasureOutcome): Promise<void>;
  /** Whether it is worth while to wait for an export's numbers before it is pushed. */
  isDue(record: ExportRecord): boolean;
  start(): void;
  stop(): void;
}

const LOOK_EVERY_MS = 1000;
/** After the end of an export its push waits so long for the numbers, if there is a worker that may measure it. */
export const PUSH_WAIT_MS = 600_000;

interface Current extends Assigned {
  readonly ending: AbortController;
  prepared: Promise<PreparedMeasurement> | null;
}

/** @param onChange called whenever `isDue` may have changed */
export function createMeasurer(options: ExportServiceOptions, onChange: () => void): Measurer {
  return new ExportMeasurer(options, onChange);
}

class ExportMeasurer implements Measurer {
  readonly #options: ExportServiceOptions;
  readonly #records: MeasureRecords;
  readonly #onChange: () => void;
  readonly #stopping = new AbortController();
  #isStarted = false;
  #isLooking = false;
  #current: Current | null = null;
  /** Larger than that of any earlier coordinator: a worker does not take the next assignment for the last. */
  #attempt = 0;

  constructor(options: ExportServiceOptions, onChange: () => void) {
    this.#options = options;
    this.#records = createMeasureRecords(options);
    this.#onChange = onChange;
  }

  start(): void {
    this.#isStarted = true;
    this.look();
  }

  stop(): void {
    this.#isStarted = false;
    this.#stopping.abort(new LoraFleetError("aborted", "the coordinator is stopping"));
    this.#end();
  }

  look(): void {
    if (this.#isLooking || !this.#isStarted) return;
    this.#isLooking = true;
    this.#keepLooking().catch(() => this.#isLooking = false);
  }

  async task(worker: string, exportId: string): Promise<MeasureTask> {
    return (await this.#preparedFor(worker, exportId)).task;
  }

  async file(worker: string, exportId: string, name: string): Promise<ServedFile> {
    const { files } = await this.#preparedFor(worker, exportId);
    const file = files.find((listed) => listed.filename === name);
    if (file !== undefined) return file;
    throw new LoraFleetError("not_found", `the measurement of ${exportId} has no file ${quote(name)}`);
  }

  async finish(worker: string, exportId: string, outcome: MeasureOutcome): Promise<void> {
    const current = this.#currentOf(worker, exportId);
    if (outcome.attempt !== current.attempt) throw notYours(worker, exportId);
    if (outcome.type === "failed") await this.#records.failed(exportId, worker, outcome.reason);
    else await this.#records.measured(exportId, worker, outcome.drift);
    if (this.#current === current) this.#end();
    this.#onChange();
    this.look();
  }

  isDue(record: ExportRecord): boolean {
    const { clock, fleet } = this.#options;
    if (!isUnmeasured(record) || clock.now() - (record.finishedAt ?? 0) > PUSH_WAIT_MS) return false;
    const failed = record.measurement!.failures.map(({ worker }) => worker);
    return fleet.measurers().workers.some(({ worker }) => !failed.includes(worker));
  }

  /** Rejects when the coordinator stops. */
  async #keepLooking(): Promise<void> {
    const { exports, clock, onDefect } = this.#options;
    for (let reported = ""; this.#isStarted && exports.all().some(isUnmeasured);) {
      try {
        await this.#lookOnce();
        this.#onChange();
      } catch (thrown) {
        // A full disk, say: the next look finds room, or the same defect again.
        if (reported !== messageOf(thrown)) onDefect("a merge is not measured", thrown);
        reported = messageOf(thrown);
      }
      await clock.sleep(LOOK_EVERY_MS, this.#stopping.signal);
    }
    this.#isLooking = false;
    this.#end();
  }

  async #lookOnce(): Promise<void> {
    const { exports, fleet, clock } = this.#options;
    const unmeasured = exports.all().filter(isUnmeasured);
    const [before, now] = [this.#current, clock.now()];
    const decision = decideMeasurement({ unmeasured, current: before, measurers: fleet.measurers(), now });
    const { assigned, ended, reason } = decision;
    if (before !== null && ended !== null) {
      this.#end();
      await this.#records.takenAway(before, ended);
    }
    if (assigned !== null && assigned !== before) this.#assign(assigned);
    for (const { id, measurement } of unmeasured) {
      if (id !== this.#current?.exportId && measurement?.reason !== reason) this.#records.waits(id, reason);
    }
    const current = this.#current;
    if (current === null) return;
    const { exportId, worker, incarnation, attempt } = current;
    fleet.askToMeasure({ exportId, worker, incarnation, attempt });
  }

  #assign(assigned: Omit<Assigned, "attempt">): void {
    this.#attempt = Math.max(this.#attempt + 1, assigned.since);
    this.#current = { ...assigned, attempt: this.#attempt, ending: new AbortController(), prepared: null };
    this.#records.begins(assigned.exportId, assigned.worker);
  }

  async #preparedFor(worker: string, exportId: string): Promise<PreparedMeasurement> {
    const current = this.#currentOf(worker, exportId);
    const record = this.#options.exports.get(exportId);
    if (record === null) throw notYours(worker, exportId);
    current.prepared ??= prepareMeasurement(this.#options, record, current.attempt, current.ending.signal);
    try {
      return await current.prepared;
    } catch (thrown) {
      if (this.#current !== current) throw notYours(worker, exportId);
      this.#end();
      // No other worker would get more.
      await this.#records.failed(exportId, "the coordinator", messageOf(thrown), true);
      this.#onChange();
      throw new LoraFleetError("conflict", `the measurement cannot be prepared: ${messageOf(thrown)}`);
    }
  }

  #currentOf(worker: string, exportId: string): Current {
    const current = this.#current;
    if (current?.worker === worker && current.exportId === exportId) return current;
    throw notYours(worker, exportId);
  }

  #end(): void {
    this.#current?.ending.abort(new LoraFleetError("aborted", "the measurement is over"));
    this.#current = null;
  }
}

function notYours(worker: string, exportId: string): LoraFleetError {
  return new LoraFleetError("conflict", `export ${quote(exportId)} is not to be measured by ${worker}`);
}
