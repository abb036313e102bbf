/** What becomes of a measurement, in the export's record, its card and the events of its job. */
import type { Drift } from "../../../shared/protocol/messages_measure.ts";
import { type ExportRecord, isUnmeasured, type MeasurementState } from "../record/export_record.ts";
import { noteInCard, storeDrift } from "../work/drift_in_card.ts";
import { putAnyway } from "../work/end_of_work.ts";
import type { ExportServiceOptions } from "../work/export_context.ts";
import { type Assigned, MAX_FAILURES, type MeasurementDecision } from "./decide_measurement.ts";
import { measuredText } from "./measured_text.ts";

export interface MeasureRecords {
  begins(exportId: string, worker: string): void;
  /** The first reason is an event. */
  waits(exportId: string, reason: string): void;
  takenAway(from: Assigned, why: NonNullable<MeasurementDecision["ended"]>): Promise<void>;
  measured(exportId: string, worker: string, drift: Drift): Promise<void>;
  /** @param isFinal no other worker is asked */
  failed(exportId: string, worker: string, reason: string, isFinal?: boolean): Promise<void>;
}

export function createMeasureRecords(options: ExportServiceOptions): MeasureRecords {
  const { exports, jobs } = options;
  /** Null once the export is deleted, or measured by hand. */
  const unmeasured = (exportId: string): ExportRecord | null => {
    const record = exports.get(exportId);
    return record !== null && isUnmeasured(record) ? record : null;
  };
  const put = (record: ExportRecord, changes: Partial<MeasurementState>) =>
    putAnyway(options, record.id, { measurement: { ...record.measurement!, ...changes } });
  const event = (
    { id, jobId }: ExportRecord,
    level: "info" | "warn",
    text: string,
    data: Record<string, unknown> = {},
  ) => jobs.record(jobId, level, `Export ${id} ${text}.`, { export_id: id, ...data });

  const failed: MeasureRecords["failed"] = async (exportId, worker, reason, isFinal = false) => {
    const record = unmeasured(exportId);
    if (record === null) return;
    const failures = [...record.measurement!.failures, { worker, reason }];
    const isOver = isFinal || failures.length >= MAX_FAILURES;
    put(record, { status: isOver ? "failed" : "waiting", worker: null, reason, failures });
    event(record, "warn", `cannot be measured by ${worker}: ${reason}`, { worker });
    if (!isOver) return;
    event(record, "warn", `stays without numbers: ${reason}`);
    await noteInCard(options, record, reason);
  };

  return {
    begins(exportId, worker) {
      const record = unmeasured(exportId);
      if (record === null) return;
      put(record, { status: "running", worker, reason: null });
      event(record, "info", `is being measured by ${worker}`, { worker });
    },
    waits(exportId, reason) {
      const record = unmeasured(exportId);
      if (record === null) return;
      put(record, { status: "waiting", worker: null, reason });
      if (record.measurement!.reason === null) event(record, "info", `is not measured yet: ${reason}`);
    },
    async takenAway({ exportId, worker }, { reason, isFailure }) {
      const record = unmeasured(exportId);
      if (record === null) return;
      if (isFailure) return await failed(exportId, worker, reason);
      put(record, { status: "waiting", worker: null, reason });
      event(record, "warn", `will be measured again: ${reason}`, { worker });
    },
    async measured(exportId, worker, drift) {
      const record = unmeasured(exportId);
      if (record === null) return;
      const stored = await storeDrift(options, record, drift);
      put(stored, { status: "succeeded", worker, reason: null });
      event(record, "info", `is measured by ${worker}: ${measuredText(drift)}`, { worker, drift });
    },
    failed,
  };
}
