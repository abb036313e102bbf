/**
 * The fields of PEFT's, transformers', TRL's, bitsandbytes' and Unsloth's configurations with their defaults, as
 * tests/golden/make/library_fields.py reads them from the libraries: a whole configuration pasted into a job is mostly these.
 */
import fields from "./library_fields.json" with { type: "json" };
import { sameJson } from "./errors.ts";

/** Whether `value` is a library's default for the field. */
export function isLibraryDefault(group: string, field: string, value: unknown): boolean {
  return Object.values(fields).some((known) => {
    const defaults: Readonly<Record<string, unknown>> = known.fields;
    return known.group === group && Object.hasOwn(defaults, field) && sameJson(defaults[field], value);
  });
}

/** How Python prints an enum member: `IntervalStrategy.STEPS`. */
const ENUM_MEMBER = /^([A-Z][A-Za-z]+)\.([A-Z0-9_]+)$/;

/** Members whose value is not their name in lower case. */
const ENUM_VALUES: Readonly<Record<string, string>> = {
  "OptimizerNames.ADAMW_BNB": "adamw_bnb_8bit",
  "OptimizerNames.PAGED_ADAMW": "paged_adamw_32bit",
  "OptimizerNames.PAGED_LION": "paged_lion_32bit",
  "SchedulerType.REDUCE_ON_PLATEAU": "reduce_lr_on_plateau",
  "QuantizationMethod.BITS_AND_BYTES": "bitsandbytes",
  "TaskType.CAUSAL_LM": "CAUSAL_LM",
  "TaskType.SEQ_CLS": "SEQ_CLS",
  "PeftType.LORA": "LORA",
};
const LOWERED = ["IntervalStrategy", "SaveStrategy", "SchedulerType", "HubStrategy", "OptimizerNames"];

/** How Python's `repr` shows one: `<IntervalStrategy.STEPS: 'steps'>`. */
const ENUM_REPR = /^<[A-Z][A-Za-z]+\.[A-Z0-9_]+: '([^']*)'>$/;

/**
 * The value of a dumped field. `TrainingArguments.to_dict` writes `<HUB_TOKEN>` for any value of a field named `…_token`, even
 * None (SFTConfig's `eos_token`), and `to_sanitized_dict` writes "None": both are absence.
 */
export function fromPythonDump(field: string, value: unknown): unknown {
  if (typeof value !== "string") return value;
  if (value === "None" || (field.endsWith("_token") && value === `<${field.toUpperCase()}>`)) return null;
  return fromPythonEnum(value);
}

/** The value of a printed enum member; any other value as it is. */
function fromPythonEnum(value: string): unknown {
  const [, shown] = ENUM_REPR.exec(value) ?? [];
  if (shown !== undefined) return shown;
  const [, type, member] = ENUM_MEMBER.exec(value) ?? [];
  if (type === undefined) return value;
  return ENUM_VALUES[value] ?? (LOWERED.includes(type) ? member!.toLowerCase() : value);
}
