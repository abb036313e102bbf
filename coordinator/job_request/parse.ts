/**
 * The body of `POST /v1/fine_tuning/jobs` → a JobSpec. It accepts OpenAI's own fields, our groups with the field names
 * of transformers, PEFT, TRL and bitsandbytes, and what existing scripts set besides (fields.ts).
 * An error names the field as the client spelled it.
 */
import { LoraFleetError } from "../../shared/errors.ts";
import type { JobSpec } from "../../shared/job/job_spec_schema.ts";
import { checkRankPatterns } from "../../shared/job/adapter_modules.ts";
import { checkModuleChoice } from "../../shared/job/chosen_modules.ts";
import { checkTargetPattern } from "../../shared/job/target_modules.ts";
import { learnabilityOf } from "../planning/schedule/learnable.ts";
import { type Afterwards, parseAfterwards } from "./afterwards.ts";
import { checkSchedule } from "./check_schedule.ts";
import { checkDatasetFields } from "./dataset_fields.ts";
import { type Draft, put } from "./draft.ts";
import { applyEvaluation, checkEvaluation } from "./evaluation.ts";
import { invalidField, isAbsent, isObject, show } from "./errors.ts";
import { idleWarnings } from "./idle_fields.ts";
import { isGroup, OPENAI_FIELDS, OWN_FIELDS, PLAIN_FIELDS, unknownField } from "./known_fields.ts";
import { applyOpenAiFields, parseMetadata, parseSuffix } from "./openai.ts";
import { nameHubDataset } from "./hub_dataset_fields.ts";
import { checkBounds, parseSpec } from "./parse_spec.ts";
import { readGroup } from "./read_group.ts";
import { parseTracking, type TrackingRequest } from "./tracking.ts";

export interface ParsedJobRequest {
  readonly spec: JobSpec;
  /** The user's part of the fine-tuned model's name. */
  readonly suffix: string | null;
  readonly metadata: Record<string, string> | null;
  /** The id of an uploaded file with the rows to evaluate; null without one. */
  readonly validationFile: string | null;
  /** Null if no tracker is asked for. */
  readonly tracking: TrackingRequest | null;
  /** What is exported and pushed when the job has succeeded; null: nothing. */
  readonly afterwards: Afterwards | null;
  /** The job, checkpoint or model whose training goes on; null: a new start. */
  readonly resumeFrom: string | null;
  /** The paths of the spec's fields that the client set; the others have their defaults. */
  readonly given: ReadonlySet<string>;
  /** One sentence for each setting that is ignored or treated differently. */
  readonly warnings: readonly string[];
}

/** Throws `invalid_request` whose `param` is the path of the field at fault. */
export function parseJobRequest(body: unknown): ParsedJobRequest {
  if (!isObject(body)) {
    throw new LoraFleetError("invalid_request", `a job is a JSON object, not ${show(body)}`);
  }
  const draft: Draft = {
    fields: new Map(),
    warnings: [],
    tracking: new Map(),
    afterwards: new Map(),
    withoutEffect: [],
    resumeFrom: null,
  };
  for (const [name, value] of Object.entries(body)) {
    if (isAbsent(value)) continue;
    if (isGroup(name)) readGroup(draft, name, value);
    else if (PLAIN_FIELDS.includes(name)) put(draft, name, value, name);
    else if (!OPENAI_FIELDS.includes(name) && !OWN_FIELDS.includes(name)) throw unknownField(name);
  }
  applyOpenAiFields(draft, body);
  // transformers saves by steps by default, so save_steps alone must have an effect.
  if (draft.fields.has("training.save_steps") && !draft.fields.has("training.save_strategy")) {
    put(draft, "training.save_strategy", "steps", "training.save_strategy");
  }
  // transformers has no warm-up with warmup_steps 0, so our default warmup_ratio must not apply.
  if (draft.fields.get("training.warmup_steps")?.value === 0 && !draft.fields.has("training.warmup_ratio")) {
    put(draft, "training.warmup_ratio", 0, "training.warmup_ratio");
  }
  nameHubDataset(draft);
  const validationFile = parseValidationFile(body["validation_file"]);
  applyEvaluation(draft, validationFile);
  const spec = parseSpec(draft);
  checkBounds(draft, spec);
  checkTargetPattern(spec.lora.target_modules);
  checkDatasetFields(spec);
  checkModuleChoice(spec.lora);
  checkRankPatterns(spec.lora);
  checkWeights(spec);
  // A job that goes on from an earlier one also has that one's settings, and is checked with them.
  const given = new Set(draft.fields.keys());
  if (draft.resumeFrom === null) checkTraining(draft, spec, validationFile, given);
  checkLearnable(spec);
  explainArithmetic(draft, spec);
  const tracking = parseTracking(draft, body["integrations"]);
  const afterwards = parseAfterwards(draft, body["exports"]);
  if (draft.withoutEffect.length > 0) {
    draft.warnings.push(`Without effect here: ${draft.withoutEffect.join(", ")}.`);
  }
  return {
    spec,
    suffix: parseSuffix(body["suffix"]),
    metadata: parseMetadata(body["metadata"]),
    validationFile,
    tracking,
    afterwards,
    resumeFrom: draft.resumeFrom,
    given,
    warnings: draft.warnings,
  };
}

/**
 * What must hold of the training fields together, also once those of an earlier job are added.
 * @param given the paths of fields that the client set
 */
export function checkTraining(
  draft: Pick<Draft, "warnings">,
  spec: JobSpec,
  validationFile: string | null,
  given: ReadonlySet<string>,
): void {
  checkSchedule(spec.training);
  checkEvaluation(draft, spec, validationFile);
  checkDivergence(spec);
  draft.warnings.push(...idleWarnings(spec, given));
}

/** A stream of tokens that is cut anywhere has no rows any more. */
function checkWeights({ dataset }: JobSpec): void {
  if (!dataset.packing || dataset.packing_strategy !== "wrapped") return;
  for (const name of ["weight_field", "message_weight_field"] as const) {
    if (dataset[name] === undefined) continue;
    const message =
      `dataset.${name} is ${show(dataset[name])}, but dataset.packing_strategy "wrapped" joins all ` +
      'rows into one stream without weights; set it to "bfd"';
    throw invalidField(`dataset.${name}`, message);
  }
}

/** Refuses a job whose steps cannot change the adapter, whatever its data is. */
function checkLearnable(spec: JobSpec): void {
  const { learning_rate: rate, max_steps: steps } = spec.training;
  if (rate === 0) {
    throw invalidField(
      "training.learning_rate",
      "training.learning_rate is 0, with which no step changes the adapter; a number above 0 is needed",
    );
  }
  const { refusal, param } = steps > 0 ? learnabilityOf(spec, steps, null) : NO_STEPS_KNOWN;
  if (refusal !== null) throw invalidField(param, `training.max_steps is ${steps}: ${refusal}`);
}

/** Inner loops have learning rates of their own, which are planned before the start. */
function checkDivergence({ training, fleet }: JobSpec): void {
  if (training.on_divergence !== "halve_learning_rate" || fleet.local_steps === null) return;
  const message =
    'training.on_divergence is "halve_learning_rate", which does not go with fleet.local_steps; leave one of ' +
    "them out";
  throw invalidField("training.on_divergence", message);
}

const NO_STEPS_KNOWN = { refusal: null, param: "" };

/** Warns where a worker's arithmetic differs from what the field names. */
function explainArithmetic(draft: Draft, spec: JobSpec): void {
  const dtype = spec.quantization.bnb_4bit_compute_dtype;
  if (dtype !== "float32") {
    const field = `quantization.bnb_4bit_compute_dtype (${show(dtype)})`;
    draft.warnings.push(`${field}: workers compute in float32, which is at least as exact.`);
  }
  if (draft.fields.has("training.optim") && spec.training.optim === "adamw_torch") {
    draft.warnings.push(
      `training.optim ("adamw_torch"): computed in the order of bitsandbytes' AdamW, which decays the weights after ` +
        `the update instead of before it.`,
    );
  }
}

function parseValidationFile(value: unknown): string | null {
  if (isAbsent(value)) return null;
  if (typeof value === "string") return value;
  const message = `validation_file is ${show(value)}; the id of an uploaded file is needed`;
  throw invalidField("validation_file", message);
}
