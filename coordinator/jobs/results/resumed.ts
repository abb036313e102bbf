/**
 * `training.resume_from_checkpoint`: a job that goes on where an earlier one stopped. With that job's training state (adapter,
 * moments, step) and the same data it is the same training, bit for bit; otherwise it starts from the adapter alone.
 */
import { LoraFleetError, quote } from "../../../shared/errors.ts";
import { canonicalJson } from "../../../shared/job/job_spec_hash.ts";
import type { JobSpec } from "../../../shared/job/job_spec_schema.ts";
import { DEPENDENT_ON_EVALUATION } from "../../job_request/evaluation.ts";
import { checkTraining, type ParsedJobRequest } from "../../job_request/parse.ts";
import { isEvaluated } from "../../planning/preparation/dataset_part.ts";
import { checkpointModelName, type JobRecord } from "../record/job.ts";
import type { CheckpointRecord, JobStore } from "../stores/job_store.ts";
import type { ArtifactStore } from "../../storage/artifact_store.ts";
import { checkFixed, givenOf } from "./tuned_base.ts";
import { findTunedModel } from "./tuned_models.ts";

interface Parts {
  readonly store: JobStore;
  readonly artifacts: Pick<ArtifactStore, "state">;
}

interface Source {
  readonly job: JobRecord;
  readonly checkpoint: CheckpointRecord;
  /** The checkpoint's as a model. */
  readonly name: string;
}

const PARAM = "training.resume_from_checkpoint";

/** Rejects with `invalid_request` for what names no checkpoint, or for a field that does not fit it. */
export async function onResumed(
  { store, artifacts }: Parts,
  request: ParsedJobRequest,
): Promise<ParsedJobRequest> {
  const { resumeFrom: from, spec } = request;
  if (from === null) return request;
  const source = sourceOf(store, from);
  const { job, checkpoint: { step, commit = null }, name } = source;
  if (spec.model !== job.spec.model) {
    const message =
      `${PARAM} is ${quote(from)}, whose base model is ${quote(job.spec.model)}, but model is ` +
      `${quote(spec.model)}: set model to ${quote(job.spec.model)}`;
    throw new LoraFleetError("invalid_request", message, { param: "model" });
  }
  checkFixed(request, job, name);
  const merged = withEvaluation(request, mergedSpec(request, job.spec));
  const state = await artifacts.state(job.id, step).catch(() => null);
  const reason = otherData(store, merged, job.spec) ??
    (state === null || commit === null ? `the training state of step ${step} is not stored` : null);
  if (reason !== null) return fromAdapter(request, from, name, reason);
  const validationFile = request.validationFile ?? (isEvaluatedAsBefore(merged) ? job.validationFile : null);
  const warnings = [...request.warnings];
  checkTraining({ warnings }, merged, validationFile, request.given);
  const resumedSpec = { ...merged, resumed_state: { model: name, step, digest: commit!.digest } };
  // Without max_steps, and with local steps, the data decides how many steps there are: the preparation checks it.
  const { training: { max_steps }, fleet: { local_steps } } = merged;
  if (max_steps > 0 && local_steps === null) checkStepsLeft(resumedSpec, max_steps);
  const note =
    `${PARAM} (${
      quote(from)
    }): goes on after step ${step} of ${job.id} with its adapter, moments and place in ` +
    "the data; settings that were left out are that job's." + lostBetween(job.spec);
  return {
    ...request,
    spec: resumedSpec,
    validationFile,
    warnings: [...warnings, note],
  };
}

/** What no training state holds. */
function lostBetween({ fleet }: JobSpec): string {
  return fleet.gradient_codec === "int8"
    ? " Its gradients were int8: what its workers carried over of the rounding to int8 is lost, at most half a step of the scale."
    : "";
}

function fromAdapter(
  request: ParsedJobRequest,
  from: string,
  name: string,
  reason: string,
): ParsedJobRequest {
  const note =
    `${PARAM} (${quote(from)}): only the adapter is taken, with fresh moments and from step 1 on, because ` +
    `${reason}.`;
  const warnings = [...request.warnings, note];
  checkTraining({ warnings }, request.spec, request.validationFile, request.given);
  return { ...request, spec: { ...request.spec, model: name }, warnings };
}

function sourceOf(store: JobStore, from: string): Source {
  const found = from.startsWith("ft:") ? findTunedModel(store, from) : checkpointOf(store, from);
  const name = found === null ? null : checkpointModelName(found.job, found.checkpoint.step);
  if (found !== null && name !== null && !found.job.deletedModels.includes(name)) return { ...found, name };
  const what = store.job(from) === null
    ? "is no job, checkpoint or model of this coordinator: a job's id begins with ftjob-, a checkpoint's with ftckpt-, a " +
      "model's with ft:"
    : "has no checkpoint yet";
  throw new LoraFleetError("invalid_request", `${PARAM} ${quote(from)} ${what}`, { param: PARAM });
}

/** A job's newest checkpoint, or the one of this id. */
function checkpointOf(store: JobStore, id: string): Omit<Source, "name"> | null {
  const named = store.job(id);
  if (named !== null) {
    const newest = store.checkpoints(id, { after: null, limit: 1 }).items[0];
    return newest === undefined ? null : { job: named, checkpoint: newest };
  }
  if (!id.startsWith("ftckpt-")) return null;
  for (let after: string | null = null;;) {
    const { items, hasMore } = store.jobs({ after, limit: 100 });
    for (const job of items) {
      const checkpoint = store.checkpoints(job.id, { after: null, limit: 100_000 }).items.find((found) =>
        found.id === id
      );
      if (checkpoint !== undefined) return { job, checkpoint };
    }
    if (!hasMore) return null;
    after = items.at(-1)!.id;
  }
}

/** The earlier job's settings, with those that the client set. Fields that only make sense together stay together. */
function mergedSpec({ spec, given }: ParsedJobRequest, earlier: JobSpec): JobSpec {
  const has = (...fields: readonly string[]) => fields.some((field) => given.has(`training.${field}`));
  const { warmup_ratio, warmup_steps, lr_scheduler_kwargs, max_steps } = spec.training;
  const { lr_scheduler_kwargs: earlierArguments, ...training } = {
    ...earlier.training,
    ...givenOf("training", spec.training, given),
    ...has("warmup_ratio", "warmup_steps") ? { warmup_ratio, warmup_steps } : {},
    ...has("num_train_epochs") ? { max_steps } : {},
  };
  const keepsArguments = earlierArguments !== undefined && !has("lr_scheduler_type");
  const args = has("lr_scheduler_kwargs")
    ? lr_scheduler_kwargs
    : keepsArguments
    ? earlierArguments
    : undefined;
  const { initial_adapter: _, resumed_state: __, ...rest } = earlier;
  return {
    ...rest,
    model: spec.model,
    training_file: spec.training_file,
    seed: given.has("seed") ? spec.seed : earlier.seed,
    lora: { ...earlier.lora, ...givenOf("lora", spec.lora, given) },
    quantization: { ...earlier.quantization, ...givenOf("quantization", spec.quantization, given) },
    training: { ...training, ...args === undefined ? {} : { lr_scheduler_kwargs: args } },
    dataset: { ...earlier.dataset, ...givenOf("dataset", spec.dataset, given) },
    fleet: { ...earlier.fleet, ...givenOf("fleet", spec.fleet, given) },
  };
}

/** Evaluation's fields also depend on where its rows come from, and on whether there is one at all. */
function withEvaluation({ spec, given, validationFile }: ParsedJobRequest, merged: JobSpec): JobSpec {
  const isGiven = (field: string) => given.has(`training.${field}`);
  const { eval_split, ...dataset } = merged.dataset;
  const keepsSplit = eval_split !== undefined && (validationFile === null || given.has("dataset.eval_split"));
  const training = { ...merged.training };
  if (isGiven("eval_strategy") && spec.training.eval_strategy === "no") {
    for (const field of DEPENDENT_ON_EVALUATION) if (!isGiven(field)) delete training[field];
  } else if (isGiven("eval_steps") && !isGiven("eval_strategy") && isEvaluated(merged)) {
    training.eval_strategy = "steps";
  }
  return { ...merged, training, dataset: keepsSplit ? { ...dataset, eval_split } : dataset };
}

/** Whether the rows to evaluate are those of the earlier job's file, if it has one. */
function isEvaluatedAsBefore(merged: JobSpec): boolean {
  const { eval_split, test_size } = merged.dataset;
  return isEvaluated(merged) && eval_split === undefined && test_size === undefined;
}

/** Why a place in the earlier job's data is none in this one's; null if it is the same place. */
function otherData(store: JobStore, spec: JobSpec, earlier: JobSpec): string | null {
  const sha256Of = (id: string) => store.file(id)?.sha256 ?? id;
  if (sha256Of(spec.training_file) !== sha256Of(earlier.training_file)) {
    return "training_file holds different data";
  }
  const places: Record<string, (spec: JobSpec) => unknown> = {
    seed: ({ seed }) => seed,
    // Not of the rows that are trained on.
    dataset: ({ dataset: { eval_split: _, ...dataset } }) => dataset,
    quantization: ({ quantization }) => quantization.bnb_4bit_use_double_quant,
    "training.per_device_train_batch_size": ({ training }) => training.per_device_train_batch_size,
    "training.gradient_accumulation_steps": ({ training }) => training.gradient_accumulation_steps,
    "fleet.local_steps": ({ fleet }) => fleet.local_steps,
  };
  const differs = Object.entries(places).find(([, of]) =>
    canonicalJson(of(spec)) !== canonicalJson(of(earlier))
  );
  return differs === undefined ? null : `${differs[0]} is not that job's`;
}

/** Throws `invalid_request` if the job has no step after the one it goes on from. */
export function checkStepsLeft({ resumed_state: resumed, training }: JobSpec, totalSteps: number): void {
  if (resumed === undefined || resumed.step < totalSteps) return;
  const field = training.max_steps > 0 ? "training.max_steps" : "training.num_train_epochs";
  const message =
    `${PARAM} names step ${resumed.step}, but the job has ${totalSteps} steps, so that none is left; raise ` +
    `${field} (${training.max_steps > 0 ? training.max_steps : training.num_train_epochs})`;
  throw new LoraFleetError("invalid_request", message, { param: field });
}
