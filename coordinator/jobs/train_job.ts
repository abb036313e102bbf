/** One job's training, from its plan to its result files. */
import { isPissa } from "../../shared/job/pissa.ts";
import { LoraFleetError, messageOf, quote } from "../../shared/errors.ts";
import type { CheckpointFile } from "../storage/checkpoint_file.ts";
import type { PlannedJob } from "../planning/planned_job.ts";
import { layoutOfJob } from "../planning/adapter_layout.ts";
import { type InitialState, openInitialAdapter } from "../planning/initial_adapter.ts";
import type { JobRecord } from "./record/job.ts";
import { newestStoredState, openResumedState } from "./results/resumed_state.ts";
import type { JobContext } from "./job_context.ts";
import { type PrepareRequest } from "../planning/preparation/prepare_request.ts";
import { METRICS_FILENAME, stepMetricsCsv } from "./results/step_metrics.ts";
import { addTokenizerFiles } from "./results/tokenizer_results.ts";
import { ADAPTER_FILENAME, tunedModel } from "./results/tuned_models.ts";
import { planAfterRollback, rollbackAfter } from "./rollback.ts";
import { untilThereIsRoom } from "./stores/patient_writes.ts";
import { TrainingObserver } from "./training_observer.ts";

/** A disk on which prepared rows are lost each time is not one to train from. */
const MAX_PLANS = 3;

/** Rejects with the failure, or with the signal's reason; stores everything else. */
export async function trainJob(
  context: JobContext,
  request: PrepareRequest,
  signal: AbortSignal,
): Promise<void> {
  for (let plans = 1;; plans++) {
    const planned = await context.plan(request);
    using files = planned.files;
    const own = files === undefined ? signal : AbortSignal.any([signal, files.lost]);
    try {
      return await trainPlanned(context, planned, own);
    } catch (thrown) {
      const isLost = files?.lost.aborted === true && thrown === files.lost.reason;
      if (!isLost || signal.aborted || plans === MAX_PLANS) throw thrown;
      const message = `The job goes on from its last step with rows that are prepared anew: ${
        messageOf(thrown)
      }`;
      context.journal.record(request.id, "warn", message);
    }
  }
}

async function trainPlanned(context: JobContext, prepared: PlannedJob, signal: AbortSignal): Promise<void> {
  const { journal } = context;
  const { id } = prepared;
  const job = { ...prepared, initial: await initialOf(context, prepared) };
  signal.throwIfAborted();
  if (journal.get(id).status !== "running") {
    await journal.write(() => journal.apply(id, { type: "started", modelHash: prepared.model.hash }), signal);
    signal.throwIfAborted();
  }
  await trainUntilDone(context, job, signal);
  signal.throwIfAborted();
  const resultStep = await resultStepAfter(context, job);
  const adapter = await checkedAdapter(context, job, resultStep, signal);
  const resultFiles = await listResults(context, job, resultStep, adapter, signal);
  await journal.write(() => journal.apply(id, { type: "trained", resultFiles, resultStep }), signal);
}

/** Trains, once more with half the learning rate if the job asks for it and diverges. */
async function trainUntilDone(context: JobContext, planned: PlannedJob, signal: AbortSignal): Promise<void> {
  for (;;) {
    const job: PlannedJob = {
      ...await planAfterRollback(context, planned),
      storedState: async () => await newestStoredState(context, planned.id, await layoutOfJob(planned)),
    };
    const observer = new TrainingObserver(context, job, signal);
    try {
      return await context.fleet.train(job, observer, signal);
    } catch (thrown) {
      const rollback = await rollbackAfter(context, planned, thrown, observer.lastGoodStep(), signal);
      if (rollback === null) throw thrown;
      const change = { type: "learningRateHalved", rollback, why: messageOf(thrown) } as const;
      await context.journal.write(() => context.journal.apply(job.id, change, { level: "warn" }), signal);
      signal.throwIfAborted();
    }
  }
}

/** The state or the adapter that the job continues from; null: a fresh one. */
async function initialOf(context: JobContext, job: PlannedJob): Promise<InitialState | null> {
  const { initial_adapter: adapter, resumed_state: resumed } = job.spec;
  const name = resumed?.model ?? adapter?.model;
  if (name === undefined) return null;
  const { job: source, checkpoint } = tunedModel(context.store, name);
  checkBase(source, job);
  const layout = await layoutOfJob(job);
  if (resumed !== undefined) {
    return await openResumedState(context.artifacts, source.id, checkpoint, resumed.digest, layout);
  }
  const weights = checkpoint.files.find(({ name }) => name === ADAPTER_FILENAME)!;
  const path = await context.artifacts.path(source.id, checkpoint.step, weights);
  return await openInitialAdapter(path, adapter!.sha256, layout, isPissa(job.spec.lora));
}

/** Throws `invalid_model` if the base model is not the one that the earlier job was trained on. */
function checkBase({ id, modelHash }: JobRecord, { model, spec }: PlannedJob): void {
  if (modelHash === undefined || modelHash === model.hash) return;
  throw new LoraFleetError(
    "invalid_model",
    `the base model ${
      quote(spec.model)
    } has been changed since job ${id} was trained on it (its files' hash was ` +
      `${modelHash}, it is ${model.hash}); restore its files, or train a new adapter`,
    { param: "model" },
  );
}

/** The step whose adapter is the result: the best one, or that after which training ended. */
async function resultStepAfter(
  { journal, artifacts }: JobContext,
  { id, totalSteps }: PlannedJob,
): Promise<number> {
  const { spec: { training }, best, step } = journal.get(id);
  const last = training.early_stopping_patience === undefined ? totalSteps : step;
  if (training.load_best_model_at_end !== true || best === null) return last;
  const stored = await artifacts.files(id, best.step);
  if (stored.some(({ name }) => name === ADAPTER_FILENAME)) return best.step;
  const message =
    `Step ${best.step} has the best evaluation, but its adapter could not be stored: the result is that of ` +
    `step ${last}.`;
  journal.record(id, "warn", message);
  return last;
}

/** The files of a step's checkpoint. Throws `storage` if the adapter is missing, or as `checkAdapter` does. */
async function checkedAdapter(
  { artifacts, checkAdapter }: JobContext,
  job: PlannedJob,
  step: number,
  signal: AbortSignal,
): Promise<readonly CheckpointFile[]> {
  const { id } = job;
  const stored = await artifacts.files(id, step);
  signal.throwIfAborted();
  const adapter = stored.find(({ name }) => name === ADAPTER_FILENAME);
  if (adapter === undefined) {
    throw new LoraFleetError("storage", `training ended without the adapter of step ${step}`);
  }
  const places = isPissa(job.spec.lora) ? (await layoutOfJob(job)).tensors : null;
  await checkAdapter?.(await artifacts.path(id, step, adapter), step, places);
  signal.throwIfAborted();
  return stored;
}

/** Lists the step metrics (first, as with OpenAI), the adapter's files and the tokenizer's; returns their ids. */
async function listResults(
  { store, files, clock, journal }: JobContext,
  job: PlannedJob,
  step: number,
  adapter: readonly CheckpointFile[],
  signal: AbortSignal,
): Promise<string[]> {
  const { id } = job;
  const addMetrics = () => files.addResultText(METRICS_FILENAME, stepMetricsCsv(store, id));
  const ids = [(await untilThereIsRoom(clock, addMetrics, signal)).id];
  for (const file of adapter) {
    ids.push(await journal.write(() => files.addResult(id, step, file).id, signal));
  }
  const addCopy = (name: string, path: string) =>
    untilThereIsRoom(clock, () => files.addResultCopy(name, path), signal);
  ids.push(...await addTokenizerFiles(addCopy, job));
  signal.throwIfAborted();
  return ids;
}
