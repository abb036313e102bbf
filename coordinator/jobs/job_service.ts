/**
 * A job's life around the fleet: created over HTTP, its data prepared, queued, trained, its adapter made into files.
 * Two jobs' data is prepared at a time, one job trains at a time; the others wait in the order of their creation.
 */
import type { Clock } from "../../shared/clock.ts";
import { LoraFleetError, messageOf, quote } from "../../shared/errors.ts";
import { assertWithinBounds } from "../../shared/job/job_bounds.ts";
import type { ParsedJobRequest } from "../job_request/parse.ts";
import type { JobSpec } from "../../shared/job/job_spec.ts";
import { layoutOfJob } from "../planning/adapter_layout.ts";
import type { ArtifactStore } from "../storage/artifact_store.ts";
import { RESULT_PURPOSE } from "./file_store.ts";
import type { FileStore } from "./file_store.ts";
import type { ExcludedMicroBatch, Fleet, JobObserver } from "../fleet/fleet.ts";
import type { PlannedJob } from "../planning/planned_job.ts";
import { decideJob, isFinished, newJob } from "./job.ts";
import type { JobError, JobRecord, JobTransition, QuarantinedSample } from "./job.ts";
import { openInitialAdapter } from "../planning/initial_adapter.ts";
import type { InitialState } from "../planning/initial_adapter.ts";
import { addStep, startProgress } from "./job_progress.ts";
import type { CheckedJob } from "../base_models/model_check.ts";
import { createPatientWrites, untilThereIsRoom } from "./patient_writes.ts";
import type { ModelRegistry, ResolvedModel } from "../base_models/registry.ts";
import { METRICS_FILENAME, stepMetricsCsv } from "./step_metrics.ts";
import type { NewId } from "../storage/ids.ts";
import type { FileRecord, JobStore, NewJobEvent } from "./job_store.ts";
import { createKeyedTurns, createTurns } from "../planning/preparation/turns.ts";
import { tokensUntil } from "../planning/token_count.ts";
import { addTokenizerFiles } from "./tokenizer_results.ts";
import { onTunedBase } from "./tuned_base.ts";
import { namesOfAdapter, tunedModel } from "./tuned_models.ts";
import type { PrepareRequest } from "../planning/preparation/prepare_request.ts";

export interface JobServiceOptions {
  readonly store: JobStore;
  readonly files: FileStore;
  readonly artifacts: ArtifactStore;
  readonly models: ModelRegistry;
  readonly fleet: Fleet;
  readonly clock: Clock;
  readonly newId: NewId;
  /** The job as a base model that is there lets it be. Rejects with a `LoraFleetError` that names field or file. */
  readonly checkModel: (spec: JobSpec, folder: string) => Promise<CheckedJob>;
  /** Reads the whole dataset. Rejects with a `LoraFleetError` that names the line or field at fault. */
  readonly prepare: (request: PrepareRequest) => Promise<{ readonly totalSteps: number }>;
  /** Sees to it that the plan of a job whose dataset was prepared before can be had without waiting. */
  readonly warm: (request: PrepareRequest) => Promise<void>;
  /** The plan of a job whose dataset was prepared before. */
  readonly plan: (request: PrepareRequest) => Promise<PlannedJob>;
  /** Rejects with a `LoraFleetError` where the finished adapter at `path` is no result. Anything is one if left out. */
  readonly checkAdapter?: (path: string, steps: number) => Promise<void>;
  /** Told of what is no user's fault. */
  readonly onDefect: (message: string, thrown: unknown) => void;
  /** Told of records that wait for room on the disk, and of the end of it. */
  readonly log?: (level: "info" | "error", message: string) => void;
}

export interface JobService {
  /** Stores the job and returns at once. Throws `invalid_request`, `model_not_found`, `invalid_model`. */
  create(request: ParsedJobRequest): Promise<JobRecord>;
  /** Throws `not_found`. */
  get(id: string): JobRecord;
  /** Throws `not_found`, or `conflict` where the job has finished. */
  cancel(id: string): JobRecord;
  /** Interrupts the job and lets others go first. Throws `not_found`, or `conflict` where it has finished or is paused. */
  pause(id: string): JobRecord;
  /** Queues a paused job again. Throws `not_found`, or `conflict` where it is not paused. */
  resume(id: string): JobRecord;
  /**
   * Deletes a job's result or one of its checkpoints, and the adapter once no name leads to it any more. Throws
   * `model_not_found`, or `conflict` where the job, or another one that trains on from this model, has not finished.
   */
  deleteModel(name: string): Promise<void>;
  /** Runs `listener` after every change of the job or its events; call the result to stop. */
  watch(id: string, listener: () => void): () => void;
  /** Takes up the jobs that an earlier process left unfinished. */
  start(): void;
  /** Stops what is going on and leaves its job to the next process. */
  stop(): Promise<void>;
}

/** The files of so many jobs are read at a time: a bad one is told soon, and none keeps all others waiting. */
const VALIDATIONS_AT_A_TIME = 2;
/** How long a fleet that is free waits for an older job's data, while a younger one's is ready. */
const PATIENCE_MS = 10_000;

/** Why a job's work was aborted; what it then throws is no failure. */
const CANCELLED = new LoraFleetError("aborted", "the job was cancelled");
const PAUSED = new LoraFleetError("aborted", "the job was paused");
const STOPPING = new LoraFleetError("aborted", "the coordinator is stopping");

/** See `JobService`; nothing happens before `start`. */
export function createJobService(options: JobServiceOptions): JobService {
  const { store, files, artifacts, models, fleet, clock, newId } = options;
  const listeners = new Map<string, Set<() => void>>();
  /** Of what is being done for a job now. */
  const controllers = new Map<string, AbortController>();
  /** The status of jobs that have not finished, in the order of their creation: thousands may wait. */
  const line = new Map<string, JobRecord["status"]>();
  /** By job, since one that is paused and resumed may still be ending its first validation. */
  const validations = new Map<string, Promise<void>>();
  const modelTurnOf = createKeyedTurns();
  const lanes = createTurns(VALIDATIONS_AT_A_TIME);
  const stopped = new AbortController();
  /** The job that trains after this one, where its data is looked after. */
  let warming: { readonly id: string; readonly controller: AbortController; ended: Promise<void> } | null =
    null;
  /** Jobs that are still prepared after the fleet has waited for them. */
  const waitedFor = new Set<string>();
  let isWaiting = false;
  let training: { readonly id: string; readonly ended: Promise<void> } | null = null;
  let stopping = false;

  const get = (id: string): JobRecord => {
    const job = store.job(id);
    if (job !== null) return job;
    throw new LoraFleetError("not_found", `no such job: ${quote(id)}`, { param: "fine_tuning_job_id" });
  };

  const uploadOf = (param: string, id: string): FileRecord => {
    const file = files.find(id);
    if (file !== null && file.purpose !== RESULT_PURPOSE) return file;
    throw new LoraFleetError(
      "invalid_request",
      `${param} ${quote(id)} is not an uploaded file: upload it with POST /v1/files, purpose "fine-tune"`,
      { param },
    );
  };

  /** What nobody over HTTP waits for is written as soon as the disk takes it. */
  const writes = createPatientWrites({
    clock,
    log: options.log ?? (() => {}),
    onOver: (waitedMs) => {
      const seconds = Math.round(waitedMs / 1000);
      if (training === null || isFinished(get(training.id).status)) return;
      record(
        training.id,
        "warn",
        `For ${seconds} s the job's records could not be stored; none of them is lost.`,
      );
    },
  });

  const notify = (id: string): void => {
    for (const listener of [...listeners.get(id) ?? []]) listener();
  };

  const record = (
    jobId: string,
    level: NewJobEvent["level"],
    message: string,
    data: NewJobEvent["data"] = null,
  ): void => {
    const event = { jobId, createdAt: clock.now(), level, type: "message", message, data } as const;
    writeSoon(() => {
      store.appendEvents([event]);
      notify(jobId);
    });
  };

  /** What nobody waits for; it is left out where the signal says so by then. */
  const writeSoon = (write: () => void, signal?: AbortSignal): void => {
    writes.add(write, signal).catch((thrown) => {
      const isGivenUp = thrown instanceof LoraFleetError && thrown.code === "aborted";
      if (!isGivenUp) options.onDefect("a record is not written", thrown);
    });
  };

  /** Decides on the job as it is now; the record and its event are stored together. */
  const apply = (
    id: string,
    transition: JobTransition,
    event: Partial<Pick<NewJobEvent, "level" | "type" | "message" | "data">> = {},
  ): JobRecord => {
    const now = clock.now();
    const { job, reason } = decideJob(get(id), transition, now);
    store.putJob(job, [
      { jobId: id, createdAt: now, level: "info", type: "message", message: reason, data: null, ...event },
    ]);
    if (isFinished(job.status)) line.delete(id);
    else line.set(id, job.status);
    if (job.status !== "validating_files") waitedFor.delete(id);
    notify(id);
    return job;
  };

  /** What is thrown by work that was interrupted is no failure, whatever has become of the job since then. */
  const fail = async (id: string, thrown: unknown, signal: AbortSignal): Promise<void> => {
    if (signal.aborted) return;
    if (!(thrown instanceof LoraFleetError)) options.onDefect(`job ${id} failed`, thrown);
    const failed = { type: "failed", error: jobErrorOf(thrown) } as const;
    await writes.add(() => apply(id, failed, { level: "error" }), signal).catch((thrown) => {
      if (!signal.aborted) throw thrown;
    });
  };

  const interruptible = async (id: string, work: (signal: AbortSignal) => Promise<void>): Promise<void> => {
    const controller = new AbortController();
    controllers.set(id, controller);
    try {
      await work(controller.signal);
    } catch (thrown) {
      await fail(id, thrown, controller.signal);
    } finally {
      // A job that was paused and resumed meanwhile may be at something else by now.
      if (controllers.get(id) === controller) controllers.delete(id);
    }
  };

  const interrupt = (id: string, reason: LoraFleetError): void => {
    controllers.get(id)?.abort(reason);
    if (warming?.id === id) warming.controller.abort(reason);
  };

  /** A base model that was downloaded first is asked now, as one that was there is when the job is created. */
  const checkDownloaded = async (id: string, { folder, isFromHub }: ResolvedModel): Promise<JobSpec> => {
    const job = get(id);
    if (isFromHub !== true || job.status !== "validating_files") return job.spec;
    const { spec, warnings } = await options.checkModel(job.spec, folder);
    if (spec !== job.spec) store.putJob({ ...get(id), spec }, []);
    for (const warning of warnings) record(id, "warn", warning);
    return spec;
  };

  const requestOf = async (id: string, signal: AbortSignal): Promise<PrepareRequest> => {
    assertWithinBounds(get(id).spec);
    const { model: name } = get(id).spec;
    const onDownload = (file: string) => record(id, "info", `Downloading ${file} of ${name}.`);
    // Two jobs on a base model that is not there yet would download it twice.
    const endTurn = await modelTurnOf(name)(signal);
    const model = await models.resolve(name, { signal, onDownload }).finally(endTurn);
    signal.throwIfAborted();
    const spec = await checkDownloaded(id, model);
    signal.throwIfAborted();
    const trainingFile = files.get(spec.training_file);
    return {
      id,
      spec,
      model,
      trainingFile,
      trainingFilePath: await files.path(trainingFile),
      signal,
      event: (level, message, data) => record(id, level, message, data ?? null),
    };
  };

  const validate = async (id: string): Promise<void> => {
    if (stopping || get(id).status !== "validating_files") return;
    await interruptible(id, async (signal) => {
      const { totalSteps } = await options.prepare(await requestOf(id, signal));
      signal.throwIfAborted();
      await writes.add(() => apply(id, { type: "validated", totalSteps }), signal);
    });
    trainNext();
  };

  /** As the newest metrics tell it. */
  const gradientBytesSoFar = (id: string): number => {
    const recent = store.events(id, { after: null, limit: 100 }).items;
    const bytes = recent.find((event) => event.type === "metrics")?.data?.["gradient_bytes_sent"];
    return typeof bytes === "number" ? bytes : 0;
  };

  /** Page by page, since a job may have thousands. */
  const storedCheckpointSteps = async (id: string): Promise<Set<number>> => {
    const steps = new Set<number>();
    for (let after: string | null = null;;) {
      const { items, hasMore } = store.checkpoints(id, { after, limit: 100 });
      for (const { step } of items) steps.add(step);
      if (!hasMore) return steps;
      after = items.at(-1)!.id;
      await clock.sleep(0);
    }
  };

  const observerOf = (plan: PlannedJob, signal: AbortSignal): JobObserver => {
    let progress = startProgress(plan.totalSteps, gradientBytesSoFar(plan.id));
    let newest: { step: number; loss: number } | null = null;
    let storedSteps = new Set<number>();
    return {
      async starting(committedStep) {
        if (committedStep === 0) {
          // What an earlier start of this job left would stand beside what this one makes.
          await artifacts.clear(plan.id);
          signal.throwIfAborted();
          await writes.add(() => store.deleteCheckpoints(plan.id), signal);
          progress = startProgress(plan.totalSteps);
        }
        await writes.add(() => {
          if (committedStep >= get(plan.id).step) return;
          const trainedTokens = tokensUntil(plan, committedStep, get(plan.id).quarantined);
          apply(plan.id, { type: "rolledBack", step: committedStep, trainedTokens }, { level: "warn" });
        }, signal);
        storedSteps = await storedCheckpointSteps(plan.id);
        return { step: get(plan.id).step, checkpointSteps: [...storedSteps] };
      },
      event(level, message, data) {
        if (!signal.aborted) record(plan.id, level, message, data ?? null);
      },
      microBatchExcluded(step, excluded) {
        if (signal.aborted) return;
        const sample = sampleOf(plan, step, excluded);
        const { examples, workers } = sample;
        const data = { step, micro_batch: sample.microBatch, examples, workers };
        writeSoon(() => {
          // An attempt that is done again may come to the same.
          const isKnown = get(plan.id).quarantined.some((known) =>
            known.step === step && known.microBatch === sample.microBatch
          );
          if (!isKnown) apply(plan.id, { type: "sampleQuarantined", sample }, { level: "warn", data });
        }, signal);
      },
      async stepCommitted(report) {
        if (signal.aborted) return;
        const decision = addStep(progress, report);
        progress = decision.progress;
        newest = report;
        const { step, tokenCount } = report;
        const transition = {
          type: "stepCommitted",
          step,
          tokenCount,
          remainingMs: decision.remainingMs,
          quarantined: report.excluded.map((excluded) => sampleOf(plan, step, excluded)),
          audits: report.audits,
        } as const;
        const metrics = {
          type: "metrics",
          message: `Step ${step}/${plan.totalSteps}: training loss=${report.loss.toFixed(4)}`,
          data: decision.metrics,
        } as const;
        await unlessAborted(signal, writes.add(() => apply(plan.id, transition, metrics), signal));
      },
      async checkpointWritten(step, written) {
        // After a rollback a step is done again, with the same outcome.
        if (signal.aborted || storedSteps.has(step)) return;
        const checkpoint = {
          id: newId("ftckpt"),
          jobId: plan.id,
          createdAt: clock.now(),
          step,
          trainLoss: newest?.step === step ? newest.loss : null,
          files: written.map(({ name, size, sha256 }) => ({ name, size, sha256 })),
        };
        storedSteps.add(step);
        await unlessAborted(signal, writes.add(() => store.putCheckpoint(checkpoint), signal));
        record(plan.id, "info", `The checkpoint of step ${step} is stored.`, { step });
      },
    };
  };

  /** What a job that trains on from another one's result begins with. */
  const initialOf = async (plan: PlannedJob): Promise<InitialState | null> => {
    const { initial_adapter: initial } = plan.spec;
    if (initial === undefined) return null;
    const { job, checkpoint } = tunedModel(store, initial.model);
    const weights = checkpoint.files.find(({ name }) => name === "adapter_model.safetensors")!;
    const path = await artifacts.path(job.id, checkpoint.step, weights);
    return await openInitialAdapter(path, initial.sha256, await layoutOfJob(plan));
  };

  const train = async (id: string): Promise<void> => {
    await interruptible(id, async (signal) => {
      const prepared = await options.plan(await requestOf(id, signal));
      const plan = { ...prepared, initial: await initialOf(prepared) };
      signal.throwIfAborted();
      await writes.add(() => apply(id, { type: "started" }), signal);
      signal.throwIfAborted();
      await fleet.train(plan, observerOf(plan, signal), signal);
      signal.throwIfAborted();
      const stored = await artifacts.files(id, plan.totalSteps);
      signal.throwIfAborted();
      const adapter = stored.find(({ name }) => name === "adapter_model.safetensors");
      if (adapter === undefined) {
        throw new LoraFleetError(
          "storage",
          `training has ended without the adapter of step ${plan.totalSteps}`,
        );
      }
      await options.checkAdapter?.(await artifacts.path(id, plan.totalSteps, adapter), plan.totalSteps);
      signal.throwIfAborted();
      const resultFiles: string[] = [];
      // As with OpenAI, the first result is the table of metrics.
      const addText = () => files.addResultText(METRICS_FILENAME, stepMetricsCsv(store, id));
      resultFiles.push((await untilThereIsRoom(clock, addText, signal)).id);
      const record = async (add: () => string) => void resultFiles.push(await writes.add(add, signal));
      for (const file of stored) await record(() => files.addResult(id, plan.totalSteps, file).id);
      const addResultCopy: FileStore["addResultCopy"] = (...rest) =>
        untilThereIsRoom(clock, () => files.addResultCopy(...rest), signal);
      resultFiles.push(...await addTokenizerFiles({ addResultCopy }, plan));
      signal.throwIfAborted();
      await writes.add(() => apply(id, { type: "trained", resultFiles }), signal);
    });
    const { status } = get(id);
    if (isFinished(status)) await fleet.forget(id, status === "succeeded" ? "done" : status);
  };

  const trainNext = (): void => {
    if (stopping || training !== null) return;
    const jobs = [...line];
    const at = jobs.findIndex(([, status]) => status === "queued");
    if (at === -1) return;
    const older = jobs.slice(0, at).filter(([, status]) => status === "validating_files").map(([id]) => id);
    if (older.some((id) => !waitedFor.has(id))) return waitFor(older);
    const [id] = jobs[at]!;
    const ended = train(id).catch((thrown) => options.onDefect(`job ${id} is stuck`, thrown))
      .finally(() => {
        training = null;
        trainNext();
      });
    training = { id, ended };
    warmNext(id);
  };

  /** A long queue may have more data than is kept of it: what trains next is there when the fleet is free. */
  const warmNext = (trainingId: string): void => {
    const next = [...line].find(([id, status]) => status === "queued" && id !== trainingId);
    if (next === undefined || warming?.id === next[0]) return;
    const own = warming = { id: next[0], controller: new AbortController(), ended: Promise.resolve() };
    own.ended = requestOf(own.id, AbortSignal.any([own.controller.signal, stopped.signal])).then(options.warm)
      // Its own turn will come to the same, and tell the user.
      .catch(() => {})
      .finally(() => {
        if (warming === own) warming = null;
      });
  };

  /** Jobs train in the order of their creation, unless preparing an older one takes long: then the fleet need not idle. */
  const waitFor = (older: readonly string[]): void => {
    if (isWaiting) return;
    isWaiting = true;
    clock.sleep(PATIENCE_MS, stopped.signal).then(() => {
      for (const id of older) waitedFor.add(id);
      isWaiting = false;
      trainNext();
    }, () => {});
  };

  const enqueue = (id: string): void => {
    const validation = (validations.get(id) ?? Promise.resolve())
      .then(() => lanes.next(stopped.signal))
      .then((endTurn) => validate(id).finally(endTurn))
      .catch((thrown) => {
        if (!stopping) options.onDefect(`job ${id} is stuck`, thrown);
      })
      .finally(() => {
        if (validations.get(id) === validation) validations.delete(id);
      });
    validations.set(id, validation);
  };

  return {
    async create(request) {
      const { spec, suffix, metadata, validationFile, warnings } = onTunedBase(store, request);
      const { filename } = uploadOf("training_file", spec.training_file);
      if (validationFile !== null) uploadOf("validation_file", validationFile);
      const { folder } = await models.check(spec.model);
      // What has to be downloaded first is checked while the job is prepared.
      const checked = folder === null ? { spec, warnings: [] } : await options.checkModel(spec, folder);
      const id = newId("ftjob");
      const createdAt = clock.now();
      const event = (level: NewJobEvent["level"], message: string): NewJobEvent => (
        { jobId: id, createdAt, level, type: "message", message, data: null }
      );
      const job = newJob({ id, createdAt, spec: checked.spec, suffix, metadata, validationFile });
      store.putJob(job, [
        event("info", `Created the job ${id}: ${request.spec.model} on ${filename}.`),
        ...[...warnings, ...checked.warnings].map((warning) => event("warn", warning)),
      ]);
      line.set(id, job.status);
      enqueue(id);
      return job;
    },

    get,

    cancel(id) {
      const job = apply(id, { type: "cancelled" }, { level: "warn" });
      interrupt(id, CANCELLED);
      // One that trains is forgotten when its training has ended. Another one may have left a log when it was interrupted.
      if (training?.id !== id && job.startedAt !== null) {
        fleet.forget(id, "cancelled").catch((thrown) =>
          options.onDefect(`the log of job ${id} is left behind`, thrown)
        );
      }
      return job;
    },

    pause(id) {
      const job = apply(id, { type: "paused" });
      interrupt(id, PAUSED);
      return job;
    },

    resume(id) {
      const job = apply(id, { type: "resumed" });
      if (job.status === "validating_files") enqueue(id);
      trainNext();
      return job;
    },

    async deleteModel(name) {
      const model = tunedModel(store, name);
      const { job, checkpoint } = model;
      const user = store.unfinishedJobs().find(({ spec }) => spec.initial_adapter?.model === name);
      if (user !== undefined) {
        throw new LoraFleetError(
          "conflict",
          `model ${quote(name)} is trained on from by job ${
            quote(user.id)
          }, which is ${user.status}: cancel it first`,
          { param: "model" },
        );
      }
      apply(job.id, { type: "modelDeleted", name });
      if (namesOfAdapter({ ...model, job: get(job.id) }).length > 0) return;
      files.forgetResults(job.id, checkpoint.step);
      await artifacts.drop(job.id, checkpoint.step);
    },

    watch(id, listener) {
      const watchers = listeners.get(id) ?? new Set();
      listeners.set(id, watchers.add(listener));
      return () => {
        watchers.delete(listener);
        if (watchers.size === 0 && listeners.get(id) === watchers) listeners.delete(id);
      };
    },

    start() {
      line.clear();
      for (const { id, status } of store.unfinishedJobs()) {
        line.set(id, status);
        if (status === "running") {
          writeSoon(() => {
            apply(id, { type: "coordinatorRestarted" }, { level: "warn" });
            trainNext();
          });
        } else if (status === "validating_files") enqueue(id);
      }
      trainNext();
    },

    async stop() {
      stopping = true;
      stopped.abort(STOPPING);
      for (const controller of controllers.values()) controller.abort(STOPPING);
      writes.close();
      await Promise.all([...validations.values(), warming?.ended]);
      await training?.ended;
    },
  };
}

/** A write that was left out since the job was interrupted is no failure. */
async function unlessAborted(signal: AbortSignal, written: Promise<unknown>): Promise<void> {
  await written.catch((thrown) => {
    if (!signal.aborted) throw thrown;
  });
}

function sampleOf(
  plan: PlannedJob,
  step: number,
  { index, workers }: ExcludedMicroBatch,
): QuarantinedSample {
  const reason = "its loss or gradient is not finite";
  return { step, microBatch: index, examples: [...plan.linesOf(step, index)], reason, workers: [...workers] };
}

function jobErrorOf(thrown: unknown): JobError {
  return thrown instanceof LoraFleetError
    ? { code: thrown.code, message: thrown.message, param: thrown.param }
    : { code: "internal_error", message: `an error of lorafleet itself: ${messageOf(thrown)}`, param: null };
}
