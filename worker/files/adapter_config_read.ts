/** Reads `adapter_config.json`, as lorafleet or PEFT wrote it. */
import { z } from "zod";
import { type LoraFleetError, messageOf, quote } from "../../shared/errors.ts";
import { loraSchema, type LoraSpec } from "../../shared/job/job_spec_schema.ts";
import { invalidFile } from "../../shared/model/safetensors_header.ts";

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
  exclude_modules: loraSchema.shape.exclude_modules.nullable(),
  layers_to_transform: loraSchema.shape.layers_to_transform.nullable(),
  layers_pattern: loraSchema.shape.layers_pattern.nullable(),
  rank_pattern: loraSchema.shape.rank_pattern.nullable(),
  alpha_pattern: loraSchema.shape.alpha_pattern.nullable(),
});

/** Fields that an adapter may lack (older versions of PEFT) but must not use. */
const REFUSED_FIELDS = [
  "fan_in_fan_out",
  "use_dora",
  "use_qalora",
  "lora_bias",
  "modules_to_save",
  "layer_replication",
  "target_parameters",
  "trainable_token_indices",
  "alora_invocation_tokens",
  "arrow_config",
  "kasa_config",
  "megatron_config",
  "monteclora_config",
  "use_bdlora",
  "velora_config",
] as const;

/** Any other initialisation also changes the base model's weights, and PEFT repeats that when it loads the adapter. */
const INITIAL_WEIGHTS: readonly unknown[] = [undefined, null, true, false, "gaussian", "orthogonal", "eva"];

/** What decides the adapter's shape and scale; the rest of its configuration is the writer's. */
const KEPT_FIELDS = new Set([
  ...["r", "lora_alpha", "lora_dropout", "bias", "use_rslora", "target_modules", "exclude_modules"],
  ...["layers_to_transform", "layers_pattern", "rank_pattern", "alpha_pattern"],
]);

/** PEFT treats empty lists, objects and texts of fields as if they were not set. */
function withoutEmpty(json: unknown): unknown {
  if (typeof json !== "object" || json === null) return json;
  const isEmpty = (field: string, value: unknown) =>
    OPTIONAL_FIELDS.has(field) && typeof value !== "number" && Object.keys(value ?? {}).length === 0;
  return Object.fromEntries(Object.entries(json).filter(([field, value]) => !isEmpty(field, value)));
}

const OPTIONAL_FIELDS = new Set(
  ["exclude_modules", "layers_to_transform", "layers_pattern", "rank_pattern", "alpha_pattern"],
);

/**
 * @param path names the file in errors
 * @throws LoraFleetError `invalid_model` naming the field
 */
export function parseAdapterConfig(path: string, text: string): { lora: LoraSpec; baseModelName: string } {
  const refuse = (field: string, reason: string) =>
    invalidFile(path, `${field}${reason}`, { param: field || path });
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw refuse("", messageOf(cause));
  }
  const parsed = configSchema.safeParse(withoutEmpty(json));
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!;
    throw refuse(issue.path.join("."), `: ${issue.message}`);
  }
  const config = parsed.data;
  refuseUnsupported(config, refuse);
  const fields = Object.keys(loraSchema.shape).filter((field) =>
    KEPT_FIELDS.has(field) && (config[field] ?? null) !== null
  );
  const lora = loraSchema.parse(Object.fromEntries(fields.map((field) => [field, config[field]])));
  return { lora, baseModelName: config.base_model_name_or_path ?? "" };
}

function refuseUnsupported(
  config: z.infer<typeof configSchema>,
  refuse: (field: string, reason: string) => LoraFleetError,
): void {
  for (const field of REFUSED_FIELDS) {
    const value = config[field];
    const used = typeof value === "object" && value !== null ? Object.keys(value).length > 0 : Boolean(value);
    if (used) throw refuse(field, ` is ${quote(value)}, which is not supported`);
  }
  const { init_lora_weights: initial } = config;
  if (INITIAL_WEIGHTS.includes(initial)) return;
  throw refuse(
    "init_lora_weights",
    ` is ${quote(initial)}, which changes the base model and is not supported`,
  );
}
