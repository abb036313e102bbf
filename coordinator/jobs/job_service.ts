/**
 * A job's life around the fleet: submitted over HTTP, its data prepared, queued, trained, its adapter listed as files.
 * Two jobs are prepared at a time and one trains; the others wait in the order of their creation.
 */
import { LoraFleetError } from "../../shared/errors.ts";
import type { PlannedJob } from "../planning/planned_job.ts";
import type { ParsedJobRequest } from "../job_request/parse.ts";
import type { JobContext, JobServiceOptions } from "./job_context.ts";
import { createJobJournal } from "./job_journal.ts";
import { JobLine } from "./job_line.ts";
import { createJobWork } from "./job_work.ts";
import { deleteTunedModel } from "./model_deletion.ts";
import { createRequests } from "./prepare_requests.ts";
import { isFinished, type JobRecord } from "./record/job.ts";
import { assertMayQueue, type Owner } from "./record/owner.ts";
import type { KeyedRequest } from "./stores/job_store.ts";
import { createOnce } from "./stores/once.ts";
import { checkSubmission } from "./submission.ts";
import { createTrainingQueue } from "./training_queue.ts";
import { createValidationQueue } from "./validation_queue.ts";

export interface JobService {
  /**
   * Stores the job and returns at once. Throws `invalid_request`, `model_not_found`, `invalid_model`, and `QuotaError` if
   * `owner` may not have more.
   * @param keyed gives the job that an earlier request with this key made, if any; throws `conflict` if its body was another
   */
  create(request: ParsedJobRequest, keyed?: KeyedRequest | null, owner?: Owner | null): Promise<JobRecord>;
  /** Throws `not_found`. */
  get(id: string): JobRecord;
  /** Throws `not_found`, or `conflict` if the job has finished. */
  cancel(id: string): JobRecord;
  /**
   * Interrupts the job and lets others go first. Throws `not_found`, or `conflict` if it has finished or is paused.
   * @param why the coordinator pauses it: the record's reason, and the event's text
   */
  pause(id: string, why?: { readonly for: "disk"; readonly message: string }): JobRecord;
  /** Queues a paused job again. Throws `not_found`, or `conflict` if it is not paused. */
  resume(id: string): JobRecord;
  /** Starts the next job if none trains: what has kept it from starting may be over. */
  proceed(): void;
  /**
   * Deletes a job's result or one of its checkpoints, and the adapter once no name leads to it. Throws `model_not_found`,
   * or `conflict` while the job, or one that trains on from this model, is unfinished.
   */
  deleteModel(name: string): Promise<void>;
  /**
   * The job as it is trained, its data prepared again if necessary. Rejects with what preparing it throws: its files may be gone.
   */
  plan(id: string, signal: AbortSignal): Promise<PlannedJob>;
  /** Adds an event. */
  record(id: string, level: "info" | "warn" | "error", message: string, data?: Record<string, unknown>): void;
  /** Runs `listener` after every change of the job or its events, until the result is called. */
  watch(id: string, listener: () => void): () => void;
  /** Continues the jobs that an earlier process left unfinished. */
  start(): void;
  /** Interrupts all work and leaves its jobs to the next process. */
  stop(): Promise<void>;
}

const CANCELLED = new LoraFleetError("aborted", "the job was cancelled");
const PAUSED = new LoraFleetError("aborted", "the job was paused");
const STOPPING = new LoraFleetError("aborted", "the coordinator is stopping");

/** See `JobService`; unfinished jobs rest until `start`. */
export function createJobService(options: JobServiceOptions): JobService {
  const stopped = new AbortController();
  const line = new JobLine();
  const context = createContext(options, line, () => training.trainingId());
  const { journal } = context;
  const work = createJobWork(context);
  const requestOf = createRequests(context);
  const shared = { work, requestOf, stopped: stopped.signal };
  const training = createTrainingQueue(context, shared, line);
  const validation = createValidationQueue(context, shared, training.startNext);

  const once = createOnce(options.store, stopped.signal, (job) => {
    line.update(job);
    validation.add(job.id);
  });

  const interrupt = (id: string, reason: LoraFleetError): void =>
    [work, training].forEach((stage) => stage.interrupt(id, reason));

  return {
    create: (request, keyed = null, owner = null) =>
      once(keyed, () => storeNew(context, request, keyed, owner)),

    ...{ get: journal.get, record: journal.record, watch: journal.watch },
    plan: async (id, signal) => await context.plan(await requestOf(id, signal)),

    cancel(id) {
      const job = journal.apply(id, { type: "cancelled" }, { level: "warn" });
      interrupt(id, CANCELLED);
      // A job that trains is forgotten when its training ends; an interrupted one may have left a log.
      if (training.trainingId() !== id && job.startedAt !== null) forget(context, id);
      return job;
    },

    pause(id, why) {
      const [reason, event] = why === undefined ? [{}, {}] : [{ for: why.for }, pausedEvent(why.message)];
      const job = journal.apply(id, { type: "paused", ...reason }, event);
      interrupt(id, PAUSED);
      return job;
    },

    resume(id) {
      const job = journal.apply(id, { type: "resumed" });
      if (job.status === "validating_files") validation.add(id);
      training.startNext();
      return job;
    },

    proceed: training.startNext,
    deleteModel: (name) => deleteTunedModel(context, name),

    start() {
      line.clear();
      for (const job of options.store.unfinishedJobs()) {
        line.update(job);
        if (job.status === "validating_files") validation.add(job.id);
        if (job.status === "running") requeue(context, job.id, training.startNext);
      }
      training.startNext();
    },

    async stop() {
      stopped.abort(STOPPING);
      work.interruptAll(STOPPING);
      journal.close();
      await validation.ended();
      await training.ended();
    },
  };
}

const pausedEvent = (message: string) => ({ level: "warn", message }) as const;

async function storeNew(
  context: JobContext,
  request: ParsedJobRequest,
  keyed: KeyedRequest | null,
  owner: Owner | null,
): Promise<JobRecord> {
  const { job, events } = await checkSubmission(context, request, owner);
  assertMayQueue(context.store, owner);
  context.store.putJob(job, events, keyed);
  return job;
}

function createContext(
  options: JobServiceOptions,
  line: JobLine,
  trainingId: () => string | null,
): JobContext {
  const journal = createJobJournal({
    ...options,
    log: options.log ?? (() => {}),
    onChange: (job) => line.update(job),
    onDelayOver(waitedMs) {
      const id = trainingId();
      if (id === null || isFinished(journal.get(id).status)) return;
      const seconds = Math.round(waitedMs / 1000);
      journal.record(
        id,
        "warn",
        `The job's records could not be stored for ${seconds} s; none of them is lost.`,
      );
    },
  });
  return { ...options, journal };
}

function forget({ fleet, onDefect }: JobContext, id: string): void {
  fleet.forget(id, "cancelled").catch((thrown) => onDefect(`the log of job ${id} is left behind`, thrown));
}

function requeue({ journal }: JobContext, id: string, onQueued: () => void): void {
  journal.writeSoon(() => {
    journal.apply(id, { type: "coordinatorRestarted" }, { level: "warn" });
    onQueued();
  });
}
