/**
 * The body of `POST /v1/fine_tuning/jobs` → a JobSpec. It takes OpenAI's own fields, our groups with the field names
 * of transformers, PEFT, TRL and bitsandbytes, and what existing scripts set besides (fields.ts).
 * An error names the field as the client spelled it.
 */
import { LoraFleetError } from "../../shared/errors.ts";
import { applyOpenAiFields, parseMetadata, parseSuffix } from "./openai.ts";
import { type Draft, put } from "./draft.ts";
import { FIELD_RULES, type Group, GROUPS } from "./fields.ts";
import { explainIssue, invalidField, isAbsent, isObject, sameJson, show } from "./errors.ts";
import {
  datasetSchema,
  fleetSchema,
  type JobSpec,
  jobSpecSchema,
  localStepsSchema,
  loraSchema,
  quantizationSchema,
  trainingSchema,
} from "../../shared/job/job_spec_schema.ts";
import { type Bound, boundOf, exceededBound } from "../../shared/job/job_bounds.ts";
import { learnabilityOf } from "../planning/schedule/learnable.ts";
import { fromPythonDump, isLibraryDefault } from "./library_fields.ts";
import { checkTargetPattern } from "../../shared/job/target_modules.ts";
import { nearestName } from "./nearest_name.ts";

export interface ParsedJobRequest {
  readonly spec: JobSpec;
  /** Part of the fine-tuned model's name. */
  readonly suffix: string | null;
  readonly metadata: Record<string, string> | null;
  /** Accepted for OpenAI's clients; nothing is evaluated while training, which `warnings` says. */
  readonly validationFile: string | null;
  /** The paths of the spec's fields that the client wrote; the others have their defaults. */
  readonly given: ReadonlySet<string>;
  /** What the client asked for and will get in another way, one sentence each. */
  readonly warnings: readonly string[];
}

const SHAPES: Record<Group, Readonly<Record<string, unknown>>> = {
  lora: loraSchema.shape,
  quantization: quantizationSchema.shape,
  training: trainingSchema.shape,
  dataset: datasetSchema.shape,
  fleet: fleetSchema.shape,
};
const PLAIN_FIELDS = ["model", "training_file", "seed"];
const OPENAI_FIELDS = ["validation_file", "suffix", "metadata", "hyperparameters", "method", "integrations"];

/** Fields whose value no error and no log repeats. */
const SECRETS: readonly string[] = ["token", "hub_token", "push_to_hub_token"];

/** What scripts call the objects that are groups here. */
const OTHER_GROUP_NAMES: Readonly<Record<string, Group>> = {
  peft_config: "lora",
  lora_config: "lora",
  adapter_config: "lora",
  quantization_config: "quantization",
  bnb_config: "quantization",
  args: "training",
  training_args: "training",
  training_arguments: "training",
  sft_config: "training",
};

/** Every path that a client may write, for the hint of a misspelled one. */
const KNOWN_PATHS: readonly string[] = [
  ...PLAIN_FIELDS,
  ...OPENAI_FIELDS,
  ...GROUPS,
  ...GROUPS.flatMap((group) => Object.keys(SHAPES[group]).map((field) => `${group}.${field}`)),
  ...GROUPS.flatMap((group) => Object.keys(FIELD_RULES[group]).map((field) => `${group}.${field}`)),
  ...Object.keys(localStepsSchema.shape).map((field) => `fleet.local_steps.${field}`),
];

/** Throws a `LoraFleetError` with code `invalid_request` whose `param` is the path of the field at fault. */
export function parseJobRequest(body: unknown): ParsedJobRequest {
  if (!isObject(body)) {
    throw new LoraFleetError("invalid_request", `a job is a JSON object, not ${show(body)}`);
  }
  const draft: Draft = { fields: new Map(), warnings: [], withoutEffect: [] };
  for (const [name, value] of Object.entries(body)) {
    if (isAbsent(value)) continue;
    if (isGroup(name)) readGroup(draft, name, value);
    else if (PLAIN_FIELDS.includes(name)) put(draft, name, value, name);
    else if (!OPENAI_FIELDS.includes(name)) throw unknownField(name);
  }
  applyOpenAiFields(draft, body);
  // transformers saves by steps unless told otherwise: save_steps alone must not be without effect.
  if (draft.fields.has("training.save_steps") && !draft.fields.has("training.save_strategy")) {
    put(draft, "training.save_strategy", "steps", "training.save_strategy");
  }
  // transformers has no warm-up with warmup_steps 0: ours, which comes from warmup_ratio, must not slip in.
  if (draft.fields.get("training.warmup_steps")?.value === 0 && !draft.fields.has("training.warmup_ratio")) {
    put(draft, "training.warmup_ratio", 0, "training.warmup_ratio");
  }
  const spec = parseSpec(draft);
  checkBounds(draft, spec);
  checkTargetPattern(spec.lora.target_modules);
  checkLearnable(spec);
  explainArithmetic(draft, spec);
  if (draft.withoutEffect.length > 0) {
    draft.warnings.push(`Without effect here: ${draft.withoutEffect.join(", ")}.`);
  }
  return {
    spec,
    suffix: parseSuffix(body["suffix"]),
    metadata: parseMetadata(body["metadata"]),
    validationFile: parseValidationFile(draft, body["validation_file"]),
    given: new Set(draft.fields.keys()),
    warnings: draft.warnings,
  };
}

function readGroup(draft: Draft, group: Group, fields: unknown): void {
  if (isAbsent(fields)) return;
  if (!isObject(fields)) {
    throw invalidField(group, `${group} is ${show(fields)}; an object of fields is needed`);
  }
  const entries = Object.entries(fields).map(([field, given]) =>
    [field, fromPythonDump(field, given)] as const
  );
  // The method says which class of configuration this is, before fields that only that class has.
  entries.sort(([left], [right]) => Number(right === "quant_method") - Number(left === "quant_method"));
  for (const [field, given] of entries) {
    // Whatever field the libraries have or will have: null is how they write that it is not set.
    if (isAbsent(given) && group !== "fleet") continue;
    readField(draft, group, field, given);
  }
}

function readField(draft: Draft, group: Group, field: string, value: unknown): void {
  const param = `${group}.${field}`;
  if (Object.hasOwn(SHAPES[group], field)) return put(draft, param, withoutAbsent(value), param);
  const rule = Object.hasOwn(FIELD_RULES[group], field) ? FIELD_RULES[group][field] : undefined;
  if (rule === undefined) throw unknownField(param);
  switch (rule.kind) {
    case "alias":
      return put(draft, rule.to, value, param);
    case "translated":
      if (typeof value !== "string" || !Object.hasOwn(rule.values, value)) {
        throw invalidField(param, `${param} is ${show(value)}; ${rule.reason}`);
      }
      return put(draft, rule.to, rule.values[value], param);
    case "only": {
      if (isLibraryDefault(group, field, value)) return;
      if (rule.values.some((allowed) => sameJson(allowed, value)) || rule.means(value)) return;
      const remedy = rule.values.length === 0
        ? "leave it out"
        : `leave it out or set ${show(rule.values[0])}`;
      const shown = SECRETS.includes(field) ? "set" : show(value);
      throw invalidField(param, `${param} is ${shown}: ${rule.reason}; ${remedy}`);
    }
    case "unused":
      if (isLibraryDefault(group, field, value) || rule.quiet.some((quiet) => sameJson(quiet, value))) return;
      if (rule.note === null) draft.withoutEffect.push(param);
      else draft.warnings.push(`${param} (${show(value)}) has no effect: ${rule.note}.`);
  }
}

/** Null is absence in a field that is itself an object of fields, too: local_steps is the only one. */
function withoutAbsent(value: unknown): unknown {
  if (!isObject(value)) return value;
  const isLeftOut = ([name, inner]: [string, unknown]) =>
    isAbsent(inner) && Object.hasOwn(localStepsSchema.shape, name);
  return Object.fromEntries(Object.entries(value).filter((entry) => !isLeftOut(entry)));
}

function parseSpec(draft: Draft): JobSpec {
  const nested: Record<string, unknown> = {};
  for (const [path, { value }] of draft.fields) {
    const [head, field] = path.split(".");
    if (field === undefined) nested[head!] = value;
    else nested[head!] = { ...(isObject(nested[head!]) ? nested[head!] as object : {}), [field]: value };
  }
  const result = jobSpecSchema.safeParse(nested);
  if (result.success) return result.data;
  const issue = result.error.issues[0]!;
  const depth = GROUPS.some((group) => group === issue.path[0]) ? 2 : 1;
  const path = issue.path.slice(0, depth).join(".");
  const field = draft.fields.get(path);
  let [param, value] = [field?.param ?? path, field?.value];
  // A field that is itself an object of fields: the one inside it is at fault.
  for (const name of issue.path.slice(depth)) {
    if (typeof name !== "string" || !isObject(value)) break;
    [param, value] = [`${param}.${name}`, value[name]];
  }
  if (param === "training.optim" && typeof value === "string" && value.endsWith("8bit")) {
    throw invalidField(
      param,
      `training.optim is ${
        show(value)
      }, but moments are kept in 32 bits; set it to "paged_adamw_32bit", which is AdamW ` +
        `without the rounding of its moments`,
    );
  }
  // The schema's own limit, of whole numbers that are exact, would be bad advice.
  const bound = issue.code === "too_big" ? boundOf(path) : null;
  if (bound !== null && typeof value === "number" && value > bound.most) {
    throw beyondBound(bound, param, value);
  }
  if (issue.code === "unrecognized_keys") throw unknownField(`${param}.${issue.keys[0]}`);
  throw explainIssue(issue, param, value);
}

/** Refuses what is sound by its type and beyond what a fleet can carry. */
function checkBounds(draft: Draft, spec: JobSpec): void {
  const bound = exceededBound(spec);
  if (bound === null) return;
  const field = draft.fields.get(bound.path);
  throw beyondBound(bound, field?.param ?? bound.path, field?.written ?? bound.valueOf(spec));
}

function beyondBound({ path, most, why }: Bound, param: string, value: unknown): LoraFleetError {
  return invalidField(param, `${param} is ${show(value)}; ${path} may be at most ${most}: ${why}`);
}

/** A job whose steps cannot move the adapter, where that does not depend on the data. */
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

const NO_STEPS_KNOWN = { refusal: null, param: "" };

/** The places where a worker's arithmetic is not literally what the field names. */
function explainArithmetic(draft: Draft, spec: JobSpec): void {
  const dtype = spec.quantization.bnb_4bit_compute_dtype;
  if (dtype !== "float32") {
    draft.warnings.push(
      `quantization.bnb_4bit_compute_dtype (${
        show(dtype)
      }): workers compute in float32, which is at least as exact.`,
    );
  }
  if (draft.fields.has("training.optim") && spec.training.optim === "adamw_torch") {
    draft.warnings.push(
      `training.optim ("adamw_torch"): computed in the order of bitsandbytes' AdamW, which decays the weights after ` +
        `the update instead of before it.`,
    );
  }
}

function parseValidationFile(draft: Draft, value: unknown): string | null {
  if (isAbsent(value)) return null;
  if (typeof value !== "string") {
    throw invalidField(
      "validation_file",
      `validation_file is ${show(value)}; the id of an uploaded file is needed`,
    );
  }
  draft.warnings.push(
    `validation_file (${
      show(value)
    }) has no effect: nothing is evaluated while training; evaluate the finished adapter.`,
  );
  return value;
}

function isGroup(name: string): name is Group {
  return GROUPS.some((group) => group === name);
}

/** Refuses a field by naming the nearest known one: the same name in a group, or a similar path. */
function unknownField(param: string): LoraFleetError {
  if (KNOWN_PATHS.includes(param)) {
    const [field, ...outer] = param.split(".").toReversed();
    const nested = outer.reduce((inner, object) => `{${show(object)}: ${inner}}`, `{${show(field)}: …}`);
    return invalidField(param, `unknown field ${show(param)}; write ${nested}`);
  }
  const name = param.slice(param.lastIndexOf(".") + 1);
  const lastPart = (path: string) => path.slice(path.lastIndexOf(".") + 1);
  const elsewhere = (Object.hasOwn(OTHER_GROUP_NAMES, param) ? OTHER_GROUP_NAMES[param] : undefined) ??
    KNOWN_PATHS.find((path) => lastPart(path) === name);
  // The prefix is right as it is, and must not make two names look alike.
  const prefix = param.slice(0, param.length - name.length);
  const siblings = KNOWN_PATHS.filter((path) => path === prefix + lastPart(path));
  const sibling = nearestName(name, siblings.map(lastPart));
  const nearest = nearestName(name, KNOWN_PATHS.map(lastPart));
  const similar = sibling === null
    ? KNOWN_PATHS.find((path) => lastPart(path) === nearest)
    : prefix + sibling;
  const hint = elsewhere ?? similar;
  return invalidField(
    param,
    `unknown field ${show(param)}` + (hint === undefined ? "" : `; did you mean ${show(hint)}?`),
  );
}
