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
});

/** Fields that an adapter may lack (older versions of PEFT) but must not use. */
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

/** Any other initialisation also changes the base model's weights, and PEFT repeats that when it loads the adapter. */
const INITIAL_WEIGHTS: readonly unknown[] = [undefined, null, true, false, "gaussian", "orthogonal", "eva"];

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
  const parsed = configSchema.safeParse(json);
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!;
    throw refuse(issue.path.join("."), `: ${issue.message}`);
  }
  const config = parsed.data;
  refuseUnsupported(config, refuse);
  const { r, lora_alpha, lora_dropout, bias, use_rslora, target_modules } = config;
  const lora = loraSchema.parse({ r, lora_alpha, lora_dropout, bias, use_rslora, target_modules });
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
