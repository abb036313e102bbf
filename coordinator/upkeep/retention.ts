/**
 * Old results are removed, if the operator asks for it: checkpoints, exports and uploads of finished jobs that are older than so
 * many days, and the oldest ones of what together exceeds so many bytes. Records and events stay. Never what an unfinished job
 * needs: its own files, or the result that it trains on from.
 */
import type { Clock } from "../../shared/clock.ts";
import { counted } from "../../shared/counted.ts";
import { messageOf } from "../../shared/errors.ts";
import type { ExportService } from "../exports/export_service.ts";
import { isIdle, isUnmeasured } from "../exports/record/export_record.ts";
import type { FileStore } from "../jobs/files/file_store.ts";
import { RESULT_PURPOSE } from "../jobs/files/result_files.ts";
import type { JobService } from "../jobs/job_service.ts";
import { checkpointModelName, isFinished, type JobRecord, resultStepOf } from "../jobs/record/job.ts";
import type { CheckpointRecord, FileRecord, JobStore } from "../jobs/stores/job_store.ts";
import type { ArtifactStore } from "../storage/artifact_store.ts";

const INTERVAL_MS = 3_600_000;
const DAY_MS = 86_400_000;
const ALL = 100_000;

export interface RetentionRule {
  /** Null: whatever their age. */
  readonly maxAgeDays: number | null;
  /** Of everything that may be removed; null: any size. */
  readonly maxBytes: number | null;
}

export interface RetentionParts {
  readonly rule: RetentionRule;
  readonly store: JobStore;
  readonly files: FileStore;
  readonly artifacts: Pick<ArtifactStore, "isRead">;
  readonly jobs: Pick<JobService, "record" | "deleteModel">;
  readonly exports: Pick<ExportService, "list" | "remove">;
  readonly clock: Clock;
  readonly log: (level: "info" | "warn", message: string) => void;
}

/** What may be removed. */
interface Candidate {
  /** For events and the log. */
  readonly what: string;
  readonly jobId: string | null;
  /** When the job finished, or the file came. */
  readonly at: number;
  readonly bytes: number;
  remove(): Promise<void>;
}

/** Looks once an hour, until the signal ends it; without a rule never. */
export async function keepRetention(parts: RetentionParts, signal: AbortSignal): Promise<void> {
  const { maxAgeDays, maxBytes } = parts.rule;
  if (maxAgeDays === null && maxBytes === null) return;
  for (;;) {
    await removeOld(parts);
    await parts.clock.sleep(INTERVAL_MS, signal);
  }
}

/** Removes what is due now; what cannot be removed is left for the next time. */
export async function removeOld(parts: RetentionParts): Promise<void> {
  const { rule, clock, log, jobs } = parts;
  const due = dueOf(candidatesOf(parts), rule, clock.now());
  let [count, bytes] = [0, 0];
  for (const { candidate, why } of due) {
    try {
      await candidate.remove();
    } catch (thrown) {
      log("warn", `${candidate.what} is not removed: ${messageOf(thrown)}`);
      continue;
    }
    count++;
    bytes += candidate.bytes;
    const message = `Removed ${candidate.what}, ${candidate.bytes} bytes: ${why}.`;
    if (candidate.jobId !== null) jobs.record(candidate.jobId, "info", message);
    else log("info", message);
  }
  if (count > 0) log("info", `retention: ${counted(count, "thing")} removed, ${bytes} bytes`);
}

/** By age first, then the oldest of what is too much. */
function dueOf(
  candidates: readonly Candidate[],
  { maxAgeDays, maxBytes }: RetentionRule,
  now: number,
): { readonly candidate: Candidate; readonly why: string }[] {
  const oldestFirst = candidates.toSorted((a, b) => a.at - b.at);
  const due = new Map<Candidate, string>();
  for (const candidate of oldestFirst) {
    if (maxAgeDays === null || now - candidate.at < maxAgeDays * DAY_MS) continue;
    due.set(candidate, `it is older than ${counted(maxAgeDays, "day")} (--retention-days)`);
  }
  let total = oldestFirst.filter((candidate) => !due.has(candidate)).reduce(
    (sum, { bytes }) => sum + bytes,
    0,
  );
  for (const candidate of oldestFirst) {
    if (maxBytes === null || total <= maxBytes) break;
    if (due.has(candidate)) continue;
    due.set(
      candidate,
      `results and uploads exceed ${maxBytes} bytes (--retention-mib), and it is the oldest`,
    );
    total -= candidate.bytes;
  }
  return [...due].map(([candidate, why]) => ({ candidate, why }));
}

function candidatesOf(parts: RetentionParts): Candidate[] {
  const { store, files } = parts;
  const unfinished = store.unfinishedJobs();
  const found: Candidate[] = [];
  for (const job of all((after) => store.jobs({ after, limit: 1000 }))) {
    if (isFinished(job.status)) found.push(...candidatesOfJob(parts, unfinished, job));
  }
  for (const file of all((after) => store.files({ after, limit: 1000, purpose: null }))) {
    if (file.purpose === RESULT_PURPOSE || isUsed(unfinished, file)) continue;
    const { id, filename, size: bytes, createdAt: at } = file;
    found.push({
      what: `the upload ${id} (${filename})`,
      jobId: null,
      at,
      bytes,
      remove: () => files.delete(id),
    });
  }
  return found;
}

/** None while an export is being written or pushed: it reads the checkpoint. */
function candidatesOfJob(
  parts: RetentionParts,
  unfinished: readonly JobRecord[],
  job: JobRecord,
): Candidate[] {
  const { store, exports } = parts;
  const at = job.finishedAt ?? job.createdAt;
  const records = exports.list(job.id);
  if (!records.every((record) => isIdle(record) && !isUnmeasured(record))) return [];
  return [
    ...store.checkpoints(job.id, { after: null, limit: ALL }).items
      .flatMap((checkpoint) => checkpointCandidate(parts, unfinished, job, checkpoint, at)),
    ...records.map(({ id, finishedAt, files }) => ({
      what: `the export ${id}`,
      jobId: job.id,
      at: finishedAt ?? at,
      bytes: files.reduce((sum, { size }) => sum + size, 0),
      remove: () => exports.remove(job.id, id),
    })),
  ];
}

/** None if its models are deleted, or an unfinished job trains on from one of them. */
function checkpointCandidate(
  { artifacts, jobs }: RetentionParts,
  unfinished: readonly JobRecord[],
  job: JobRecord,
  { step, files }: CheckpointRecord,
  at: number,
): Candidate[] {
  const names = namesOf(job, step).filter((name) => !job.deletedModels.includes(name));
  const isNeeded = unfinished.some(({ spec }) =>
    names.some((name) => [spec.initial_adapter?.model, spec.resumed_state?.model].includes(name))
  );
  if (names.length === 0 || isNeeded || artifacts.isRead(job.id, step)) return [];
  return [{
    what: `the checkpoint of step ${step}`,
    jobId: job.id,
    at,
    bytes: files.reduce((sum, { size }) => sum + size, 0),
    async remove() {
      for (const name of names) await jobs.deleteModel(name);
    },
  }];
}

function namesOf(job: JobRecord, step: number): string[] {
  const isResult = job.fineTunedModel !== null && step === resultStepOf(job);
  return [checkpointModelName(job, step), ...isResult ? [job.fineTunedModel!] : []];
}

function isUsed(unfinished: readonly JobRecord[], { id }: FileRecord): boolean {
  return unfinished.some(({ spec, validationFile }) => spec.training_file === id || validationFile === id);
}

function* all<T extends { readonly id: string }>(
  page: (after: string | null) => { readonly items: readonly T[]; readonly hasMore: boolean },
): Generator<T> {
  for (let after: string | null = null;;) {
    const { items, hasMore } = page(after);
    yield* items;
    const last = items.at(-1);
    if (!hasMore || last === undefined) return;
    after = last.id;
  }
}
