/** The fields that a job request may have, and the hint at the right one for any other. */
import type { LoraFleetError } from "../../shared/errors.ts";
import {
  columnMappingSchema,
  datasetSchema,
  fleetSchema,
  localStepsSchema,
  loraSchema,
  quantizationSchema,
  scheduleArgumentsSchema,
  trainingSchema,
} from "../../shared/job/job_spec_schema.ts";
import { invalidField, show } from "./errors.ts";
import { FIELD_RULES, type Group, GROUPS } from "./fields.ts";
import { nearestName } from "../../shared/std/nearest_name.ts";

/** The fields of a JobSpec by group. */
export const SHAPES: Record<Group, Readonly<Record<string, unknown>>> = {
  lora: loraSchema.shape,
  quantization: quantizationSchema.shape,
  training: trainingSchema.shape,
  dataset: datasetSchema.shape,
  fleet: fleetSchema.shape,
};
/** The fields within fields. */
export const INNER_FIELDS: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  "fleet.local_steps": localStepsSchema.shape,
  "dataset.column_mapping": columnMappingSchema.shape,
  "training.lr_scheduler_kwargs": scheduleArgumentsSchema.shape,
};
export const PLAIN_FIELDS = ["model", "training_file", "seed"];
export const OPENAI_FIELDS = [
  "validation_file",
  "suffix",
  "metadata",
  "hyperparameters",
  "method",
  "integrations",
];
/** Fields of a request that are neither OpenAI's nor the specification's. */
export const OWN_FIELDS = ["exports"];

/** What scripts call the groups. */
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

/** Every valid path, for hints at misspelled ones. */
const KNOWN_PATHS: readonly string[] = [
  ...PLAIN_FIELDS,
  ...OPENAI_FIELDS,
  ...OWN_FIELDS,
  ...GROUPS,
  ...GROUPS.flatMap((group) => Object.keys(SHAPES[group]).map((field) => `${group}.${field}`)),
  ...GROUPS.flatMap((group) => Object.keys(FIELD_RULES[group]).map((field) => `${group}.${field}`)),
  ...Object.entries(INNER_FIELDS).flatMap(([path, inner]) =>
    Object.keys(inner).map((name) => `${path}.${name}`)
  ),
];

export function isGroup(name: string): name is Group {
  return GROUPS.some((group) => group === name);
}

/** The error of an unknown field; it names the nearest known one: the same name in a group, or a similar path. */
export function unknownField(param: string): LoraFleetError {
  if (KNOWN_PATHS.includes(param)) {
    const [field, ...outer] = param.split(".").toReversed();
    const nested = outer.reduce((inner, object) => `{${show(object)}: ${inner}}`, `{${show(field)}: …}`);
    return invalidField(param, `unknown field ${show(param)}; write ${nested}`);
  }
  const name = param.slice(param.lastIndexOf(".") + 1);
  const lastPart = (path: string) => path.slice(path.lastIndexOf(".") + 1);
  const elsewhere = (Object.hasOwn(OTHER_GROUP_NAMES, param) ? OTHER_GROUP_NAMES[param] : undefined) ??
    KNOWN_PATHS.find((path) => lastPart(path) === name);
  // A common prefix must not make two names look alike.
  const prefix = param.slice(0, param.length - name.length);
  const siblings = KNOWN_PATHS.filter((path) => path === prefix + lastPart(path));
  const sibling = nearestName(name, siblings.map(lastPart));
  const nearest = nearestName(name, KNOWN_PATHS.map(lastPart));
  const similar = sibling === null
    ? KNOWN_PATHS.find((path) => lastPart(path) === nearest)
    : prefix + sibling;
  const hint = elsewhere ?? similar;
  const question = hint === undefined ? "" : `; did you mean ${show(hint)}?`;
  return invalidField(param, `unknown field ${show(param)}${question}`);
}
