/**
 * The exports of jobs: asked for over HTTP, written one at a time by a process of their own, listed as files. An export that a
 * stopped coordinator leaves unfinished begins again at the next start.
 */
import { LoraFleetError, quote } from "../../shared/errors.ts";
import { assertToken } from "../../shared/hub/push_target.ts";
import type { JobStore } from "../jobs/stores/job_store.ts";
import type { RecordedFile } from "../storage/verified_file.ts";
import { storeDrift } from "./work/drift_in_card.ts";
import type { ExportServiceOptions } from "./work/export_context.ts";
import { createExportQueue } from "./export_queue.ts";
import { createMeasurer, type Measurer } from "./measure/measurer.ts";
import { type ExportRecord, isUnmeasured } from "./record/export_record.ts";
import { type ExportRequest, isSameRequest, parseExportRequest } from "./record/export_request.ts";
import { parsePush } from "./record/push_request.ts";
import { assertPossible } from "./work/possible_export.ts";

export interface ExportService {
  /**
   * Whether the export can come to be, by the base model's config and tokenizer: also before the job has trained. Throws `not_found`,
   * `invalid_request`. A base model that cannot be reached now says nothing.
   */
  check(jobId: string, body: unknown): Promise<void>;
  /**
   * Begins an export, or returns the one that the same request has begun. Throws `not_found`, `conflict` if the job has no
   * checkpoint, `invalid_request`, `storage`.
   */
  create(jobId: string, body: unknown): ExportRecord;
  /** Newest first. Throws `not_found`. */
  list(jobId: string): readonly ExportRecord[];
  /** Throws `not_found`. */
  get(jobId: string, id: string): ExportRecord;
  /** Stops the export and removes its files. Throws `not_found`. */
  remove(jobId: string, id: string): Promise<void>;
  /** Throws `not_found`, or `conflict` while the export is unfinished. */
  file(
    jobId: string,
    id: string,
    name: string,
  ): RecordedFile & { readonly path: string; readonly filename: string };
  /** Stores how far the merged model is from the trained one, and writes it into the model card. Throws `conflict`, `not_found`. */
  setDrift(jobId: string, id: string, body: unknown): Promise<ExportRecord>;
  /** Pushes the files to the hub. Throws `unauthorized` without a token, `invalid_request`, `conflict`, `not_found`. */
  push(jobId: string, id: string, body: unknown): ExportRecord;
  /** The same, but the export may still be on its way: the push follows it. */
  pushWhenDone(jobId: string, id: string, body: unknown): ExportRecord;
  /** Has merges measured by workers. */
  readonly measurer: Measurer;
  start(): void;
  /** Ends the export's process and leaves the rest to the next coordinator. */
  stop(): Promise<void>;
}

export function createExportService(options: ExportServiceOptions): ExportService {
  const { exports, store, jobs, clock, newId, hub } = options;
  const measurer = createMeasurer(options, () => queue.startNext());
  const queue = createExportQueue(options, measurer);

  const get = (jobId: string, id: string): ExportRecord => {
    jobs.get(jobId);
    const record = exports.get(id);
    if (record?.jobId === jobId) return record;
    throw new LoraFleetError("not_found", `job ${quote(jobId)} has no export ${quote(id)}`, {
      param: "export_id",
    });
  };

  const push = (record: ExportRecord, body: unknown, mayBeUnfinished = false): ExportRecord => {
    const asked = parsePush(body, record, exports.all(), mayBeUnfinished);
    assertToken(hub);
    if (asked !== null) exports.put({ ...record, push: asked });
    queue.startNext();
    return exports.get(record.id)!;
  };

  return {
    async check(jobId, body) {
      const { id, spec } = jobs.get(jobId);
      await assertPossible(options, spec.model, parseExportRequest(body, newestStep(store, id)));
    },

    create(jobId, body) {
      const { id: job } = jobs.get(jobId);
      const request = parseExportRequest(body, newestStep(store, job));
      assertCheckpoint(store, job, request.step);
      const candidates = exports.all().filter(({ id, jobId }) => jobId === job && !queue.isStopped(id));
      const known = candidates.find((other) => isOf(other, request));
      if (known !== undefined) return known;
      const record = newRecord(newId("ftexport"), job, request, clock.now());
      exports.put(record);
      queue.startNext();
      return exports.get(record.id)!;
    },

    list(jobId) {
      const { id: job } = jobs.get(jobId);
      return exports.all().filter((record) => record.jobId === job).reverse();
    },

    get,

    async remove(jobId, id) {
      get(jobId, id);
      await queue.stop(id);
      await exports.remove(id);
    },

    file: (jobId, id, name) => fileOf(exports, get(jobId, id), name),

    setDrift: async (jobId, id, body) =>
      measuredByHand(options, await storeDrift(options, get(jobId, id), body)),

    measurer,

    push: (jobId, id, body) => push(get(jobId, id), body),
    pushWhenDone: (jobId, id, body) => push(get(jobId, id), body, true),

    ...startAndStop(queue, measurer),
  };
}

function fileOf(
  { folderOf }: ExportServiceOptions["exports"],
  { id, status, files }: ExportRecord,
  name: string,
): ReturnType<ExportService["file"]> {
  const file = files.find((stored) => stored.name === name);
  if (file !== undefined) return { ...file, path: `${folderOf(id)}/${name}`, filename: name };
  if (status === "queued" || status === "running") {
    throw new LoraFleetError("conflict", `the export ${quote(id)} is ${status}`, { param: "export_id" });
  }
  const message = `the export ${quote(id)} has no file ${quote(name)}`;
  throw new LoraFleetError("not_found", message, { param: "name" });
}

function startAndStop(
  queue: ReturnType<typeof createExportQueue>,
  measurer: Measurer,
): Pick<ExportService, "start" | "stop"> {
  return {
    start() {
      queue.start();
      measurer.start();
    },
    async stop() {
      measurer.stop();
      await queue.stopAll();
    },
  };
}

/** Nobody needs to measure it any more. */
function measuredByHand({ exports }: ExportServiceOptions, record: ExportRecord): ExportRecord {
  if (!isUnmeasured(record)) return record;
  const measured = { ...record.measurement!, status: "succeeded", worker: null, reason: null } as const;
  exports.put({ ...record, measurement: measured });
  return exports.get(record.id)!;
}

function newRecord(id: string, jobId: string, request: ExportRequest, createdAt: number): ExportRecord {
  return {
    ...{ id, jobId, createdAt, startedAt: null, finishedAt: null, status: "queued", request },
    ...{ bytesTotal: null, bytesDone: 0, files: [], error: null, drift: null, measurement: null, push: null },
  };
}

function isOf({ status, request }: ExportRecord, asked: ExportRequest): boolean {
  return status !== "failed" && isSameRequest(request, asked);
}

/** 0 without any. */
function newestStep(store: JobStore, jobId: string): number {
  return store.checkpoints(jobId, { after: null, limit: 1 }).items[0]?.step ?? 0;
}

function assertCheckpoint(store: JobStore, jobId: string, step: number): void {
  const steps = store.checkpoints(jobId, { after: null, limit: Number.MAX_SAFE_INTEGER }).items;
  if (steps.some((checkpoint) => checkpoint.step === step)) return;
  if (steps.length === 0) {
    const message = `job ${quote(jobId)} has no checkpoint yet: there is nothing to export`;
    throw new LoraFleetError("conflict", message, { param: "fine_tuning_job_id" });
  }
  const has = steps.map((checkpoint) => checkpoint.step).reverse().join(", ");
  const message = `step is ${step}, but job ${quote(jobId)} has checkpoints of ${has}`;
  throw new LoraFleetError("invalid_request", message, { param: "step" });
}
