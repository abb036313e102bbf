/** What an export reports in the events of its job: its start, each tenth, and how it ended. */
import type { JobService } from "../../jobs/job_service.ts";
import type { ExportRecord } from "../record/export_record.ts";

export function createProgressEvents({ record: add }: Pick<JobService, "record">, now: () => ExportRecord) {
  let reported = 0;
  const dataOf = ({ id, request, bytesDone, bytesTotal, status, error }: ExportRecord) => ({
    ...{ export_id: id, kind: request.kind, status, bytes: bytesDone },
    ...bytesTotal === null ? {} : { bytes_needed: bytesTotal },
    ...error === null ? {} : { code: error.code },
  });
  const event = (level: "info" | "error", text: (record: ExportRecord) => string) => {
    const record = now();
    add(record.jobId, level, `Export ${record.id} (${record.request.kind}) ${text(record)}`, dataOf(record));
  };
  return {
    began: () => event("info", ({ request }) => `has begun, from step ${request.step}.`),
    progressed() {
      const { bytesDone, bytesTotal } = now();
      const tenths = bytesTotal === null ? 0 : Math.floor(10 * bytesDone / bytesTotal);
      if (tenths <= reported || tenths >= 10) return;
      reported = tenths;
      event("info", () => `is ${10 * tenths}% done: ${bytesDone} of ${bytesTotal} bytes.`);
    },
    succeeded: () =>
      event("info", ({ bytesTotal, files }) => `is done: ${files.length} files, ${bytesTotal} bytes.`),
    failed: () => event("error", ({ error }) => `failed: ${error!.message}`),
  };
}
