/** `adapter_config.json`: all fields of PEFT's LoraConfig, in PEFT's formatting. */
import { z } from "zod";
import { LoraFleetError, messageOf, quote } from "../../shared/errors.ts";
import { loraSchema, type LoraSpec } from "../../shared/job/job_spec.ts";
import { isAllLinear } from "../../shared/job/target_modules.ts";

/** The version of PEFT whose fields these are. */
const PEFT_VERSION = "0.21.2";

/** What LoraConfig has besides the fields of a LoraSpec, at the values that stand for "not used". */
const UNUSED_FIELDS = {
  alora_invocation_tokens: null,
  alpha_pattern: {},
  arrow_config: null,
  auto_mapping: null,
  corda_config: null,
  ensure_weight_tying: false,
  eva_config: null,
  exclude_modules: null,
  fan_in_fan_out: false,
  init_lora_weights: true,
  kasa_config: null,
  layer_replication: null,
  layers_pattern: null,
  layers_to_transform: null,
  loftq_config: {},
  lora_bias: false,
  lora_ga_config: null,
  megatron_config: null,
  megatron_core: "megatron.core",
  modules_to_save: null,
  monteclora_config: null,
  qalora_group_size: 16,
  rank_pattern: {},
  target_parameters: null,
  trainable_token_indices: null,
  use_bdlora: null,
  use_dora: false,
  use_qalora: false,
  velora_config: null,
};

/** Python writes a float that is whole as `0.0`, where JSON.stringify writes `0`. */
class PythonFloat {
  readonly value: number;
  constructor(value: number) {
    this.value = value;
  }
}

/**
 * The file's text: sorted keys, two spaces, no newline at the end, as PEFT writes it. PEFT keeps `target_modules` as a set
 * and writes it in no order; here it is sorted. "all-linear" becomes the names of the modules, and a pattern stays one, as in PEFT.
 * @param moduleNames the modules that carry LoRA, by their names in the base model
 */
export function formatAdapterConfig(
  lora: LoraSpec,
  baseModelName: string,
  moduleNames: readonly string[],
): string {
  const { target_modules: targets } = lora;
  const listed = isAllLinear(targets) ? moduleNames : targets;
  const fields: Record<string, unknown> = {
    ...UNUSED_FIELDS,
    base_model_name_or_path: baseModelName,
    bias: lora.bias,
    inference_mode: true,
    lora_alpha: lora.lora_alpha,
    lora_dropout: new PythonFloat(lora.lora_dropout),
    peft_type: "LORA",
    peft_version: PEFT_VERSION,
    r: lora.r,
    revision: lora.revision ?? null,
    target_modules: typeof listed === "string" ? listed : [...new Set(listed)].sort(),
    task_type: lora.task_type,
    use_rslora: lora.use_rslora,
  };
  const lines = Object.keys(fields).sort().map((key) => `  ${quoteText(key)}: ${format(fields[key])}`);
  return `{\n${lines.join(",\n")}\n}`;
}

function format(value: unknown): string {
  if (value instanceof PythonFloat) {
    return Number.isInteger(value.value) ? `${value.value}.0` : String(value.value);
  }
  if (typeof value === "string") return quoteText(value);
  if (Array.isArray(value)) return `[\n${value.map((item) => `    ${format(item)}`).join(",\n")}\n  ]`;
  return JSON.stringify(value);
}

/** Python's json escapes everything beyond ASCII. */
function quoteText(text: string): string {
  return JSON.stringify(text).replace(
    /[\u007f-\uffff]/g,
    (unit) => unit === "\u007f" ? unit : `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

const configSchema = z.looseObject({
  peft_type: z.literal("LORA"),
  base_model_name_or_path: z.string().nullish(),
  r: z.int().positive(),
  lora_alpha: z.number().positive(),
  lora_dropout: z.number().min(0).lt(1).default(0),
  bias: z.literal("none").default("none"),
  task_type: z.literal("CAUSAL_LM").nullish(),
  use_rslora: z.boolean().default(false),
  target_modules: z.union([z.array(z.string()).min(1), z.string().min(1)]),
});

/** Fields that may be absent (older versions of PEFT) but must not be used. */
const REFUSED_FIELDS = [
  "alpha_pattern",
  "rank_pattern",
  "fan_in_fan_out",
  "use_dora",
  "use_qalora",
  "lora_bias",
  "modules_to_save",
  "layers_to_transform",
  "layer_replication",
  "target_parameters",
  "trainable_token_indices",
  "exclude_modules",
  "alora_invocation_tokens",
  "arrow_config",
  "kasa_config",
  "megatron_config",
  "monteclora_config",
  "use_bdlora",
  "velora_config",
] as const;

/** Other ways to start than these change the base model's weights, too, and PEFT does so again when it loads the adapter. */
const INITIAL_WEIGHTS: readonly unknown[] = [undefined, null, true, false, "gaussian", "orthogonal", "eva"];

/**
 * @param path for the error's words
 * @throws LoraFleetError `invalid_model` naming the field
 */
export function parseAdapterConfig(path: string, text: string): { lora: LoraSpec; baseModelName: string } {
  const refuse = (field: string, reason: string) =>
    new LoraFleetError("invalid_model", `Reading ${quote(path)} failed: ${field}${reason}.`, {
      param: field || path,
    });
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw refuse("", messageOf(cause));
  }
  const parsed = configSchema.safeParse(json);
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!;
    throw refuse(issue.path.join("."), `: ${issue.message}`);
  }
  const config = parsed.data;
  for (const field of REFUSED_FIELDS) {
    const value = config[field];
    const used = typeof value === "object" && value !== null ? Object.keys(value).length > 0 : Boolean(value);
    if (used) throw refuse(field, ` is ${quote(value)}, which is not supported`);
  }
  const { init_lora_weights: initial } = config;
  if (!INITIAL_WEIGHTS.includes(initial)) {
    throw refuse(
      "init_lora_weights",
      ` is ${quote(initial)}, which changes the base model and is not supported`,
    );
  }
  const lora = loraSchema.parse({
    r: config.r,
    lora_alpha: config.lora_alpha,
    lora_dropout: config.lora_dropout,
    bias: config.bias,
    use_rslora: config.use_rslora,
    target_modules: config.target_modules,
  });
  return { lora, baseModelName: config.base_model_name_or_path ?? "" };
}
