/** From flags and a configuration file to the body of `POST /v1/fine_tuning/jobs`. */
import { parse as parseYaml } from "@std/yaml";
import { LoraFleetError, messageOf, quote, usage } from "../../shared/errors.ts";
import type { JobOptions } from "./options.ts";

export type JobBody = Record<string, unknown>;

/** What QLoRA users take if they say nothing; the coordinator's own defaults hold for the rest. */
const DEFAULTS: JobBody = {
  lora: { r: 16, lora_alpha: 32, target_modules: "all-linear" },
  training: { save_strategy: "steps", save_steps: 0.1 },
};

/**
 * The job without its files. The configuration file overrides the defaults, flags override the file. Throws `usage` for a file or a
 * flag that cannot be read; the coordinator checks the fields.
 * @param model as the coordinator names it
 */
export async function jobBody(options: JobOptions, model: string): Promise<JobBody> {
  const config = options.configPath === null ? {} : await readConfig(options.configPath);
  checkConfig(options, config);
  const body = mergeBodies(DEFAULTS, config);
  for (const setting of options.settings) applySetting(options, body, setting);
  if (options.split !== null) setField(body, ["dataset", "split"], options.split);
  if (options.maxSteps !== null) setField(body, ["training", "max_steps"], options.maxSteps);
  return { ...body, model };
}

async function readConfig(path: string): Promise<JobBody> {
  let parsed: unknown;
  try {
    parsed = parseYaml(await Deno.readTextFile(path));
  } catch (thrown) {
    throw usage("config", `--config ${quote(path)} cannot be read: ${messageOf(thrown)}`);
  }
  if (isObject(parsed)) return withNumbers(parsed) as JobBody;
  throw usage(
    "config",
    `--config ${quote(path)} holds ${quote(parsed)}; the job's fields are needed, such as training: {…}`,
  );
}

/** YAML takes `2e-4` for a text, and no field of a job is a text of that form. */
function withNumbers(value: unknown): unknown {
  if (typeof value === "string") return numberLike(value) ?? value;
  if (Array.isArray(value)) return value.map(withNumbers);
  if (!isObject(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, withNumbers(inner)]));
}

/** Fields that a flag of their own decides, so that a setting would be overridden. */
const FLAGS: Readonly<Record<string, string>> = {
  "model": "--model",
  "training_file": "--data, with a file or a dataset's id on the hub",
  "validation_file": "--validation, with a file",
  "dataset.path": "--data, with the dataset's id on the hub",
};

/** Whether the flag that decides a field is given: the field may not be set besides. */
const GIVEN: Readonly<Record<string, (options: JobOptions) => string | null>> = {
  "dataset.split": ({ split }) => split === null ? null : `--split ${split}`,
  "dataset.revision": ({ data }) => data.includes("@") ? `--data ${data}` : null,
  "training.max_steps": ({ maxSteps }) => maxSteps === null ? null : `--steps ${maxSteps}`,
};

function checkSetting(options: JobOptions, path: string, setting: string): void {
  const flag = Object.hasOwn(FLAGS, path) ? FLAGS[path] : undefined;
  if (flag !== undefined) throw usage("set", `--set ${quote(setting)}: ${path} comes from ${flag}`);
  const given = Object.hasOwn(GIVEN, path) ? GIVEN[path]!(options) : null;
  if (given === null) return;
  throw usage("set", `--set ${quote(setting)} besides ${given}, which says the same; give one of them`);
}

/** A configuration may have been pasted whole, with what the flags say, but not with anything else. */
function checkConfig({ configPath, model }: JobOptions, config: JobBody): void {
  const named = (field: string) => `--config ${quote(configPath)} has ${field} ${quote(config[field])}`;
  if (config["model"] !== undefined && config["model"] !== model) {
    throw usage(
      "config",
      `${named("model")}, but --model is ${quote(model)}; make them equal, or take it out of the file`,
    );
  }
  for (const field of ["training_file", "validation_file"]) {
    if ((config[field] ?? null) === null) continue;
    throw usage("config", `${named(field)}, but the rows come from ${FLAGS[field]}; take it out of the file`);
  }
}

/** `training.learning_rate=1e-4`. The value is YAML, so that numbers, lists and true are what they look like. */
function applySetting(options: JobOptions, body: JobBody, setting: string): void {
  const [, path, value] = /^([\w.]+)=(.*)$/s.exec(setting) ?? [];
  if (path === undefined || value === undefined) {
    throw usage("set", `--set ${quote(setting)}: field=value is needed, such as training.learning_rate=1e-4`);
  }
  checkSetting(options, path, setting);
  try {
    setField(body, path.split("."), numberLike(value) ?? parseYaml(value));
  } catch (thrown) {
    if (thrown instanceof LoraFleetError) throw thrown;
    throw usage("set", `--set ${quote(setting)}: the value cannot be read: ${messageOf(thrown)}`);
  }
}

/** Null for what is no number with an exponent. */
function numberLike(text: string): number | null {
  return /^-?\d+(\.\d+)?[eE][-+]?\d+$/.test(text.trim()) ? Number(text) : null;
}

function setField(body: JobBody, path: readonly string[], value: unknown): void {
  const [name, ...rest] = path as [string, ...string[]];
  if (rest.length === 0) {
    body[name] = value;
    return;
  }
  const inner = body[name] ?? {};
  if (!isObject(inner)) {
    throw usage("set", `--set ${path.join(".")}: ${quote(name)} is ${quote(inner)} and has no fields`);
  }
  body[name] = { ...inner };
  setField(body[name] as JobBody, rest, value);
}

/** Groups field by field, everything else as a whole; `over` wins. */
export function mergeBodies(base: JobBody, over: JobBody): JobBody {
  const result: JobBody = { ...base };
  for (const [name, value] of Object.entries(over)) {
    const below = result[name];
    result[name] = isObject(below) && isObject(value) ? { ...below, ...value } : value;
  }
  return result;
}

/** What of a job an evaluation has to know to measure the same thing. */
export function evaluationOf(
  { dataset, quantization }: JobBody,
): { readonly textField?: string; readonly doubleQuantization: boolean } {
  const textField = isObject(dataset) ? dataset["text_field"] : undefined;
  const isDouble = isObject(quantization) ? quantization["bnb_4bit_use_double_quant"] : undefined;
  return { ...(typeof textField === "string" ? { textField } : {}), doubleQuantization: isDouble !== false };
}

function isObject(value: unknown): value is JobBody {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
