/**
 * PiSSA (https://arxiv.org/abs/2404.02948) as PEFT has it: an adapter that starts as the largest singular values of each weight,
 * on a base that is what they leave, NF4(W − s·B₀·A₀). What is handed out works on the base model itself: as in PEFT's
 * `path_initial_model_for_weight_conversion`, s·(B·A − B₀·A₀) as a LoRA of twice the rank, [A; A₀] and [B, −B₀].
 */
import { LoraFleetError, quote } from "../errors.ts";
import type { AdapterModule } from "./adapter_modules.ts";
import type { LoraSpec } from "./job_spec_schema.ts";

export type RankFields = Pick<
  LoraSpec,
  "r" | "lora_alpha" | "use_rslora" | "rank_pattern" | "alpha_pattern"
>;

export const isPissa = ({ init_lora_weights: init }: Pick<LoraSpec, "init_lora_weights">): boolean =>
  init !== undefined && init.startsWith("pissa");

/** Iterations of the randomised decomposition; null: the exact one. */
export function pissaIterations({ init_lora_weights: init = "" }: Pick<LoraSpec, "init_lora_weights">) {
  return init === "pissa" ? null : Number(init.slice("pissa_niter_".length));
}

/** The configuration of a job's result: PEFT's conversion for PiSSA, otherwise the job's own. */
export function resultLora(lora: LoraSpec): LoraSpec {
  if (!isPissa(lora)) return lora;
  const { init_lora_weights: _, ...rest } = lora;
  return { ...rest, ...doubled(lora) };
}

/** Twice the rank, with the same scales. */
function doubled({ r, lora_alpha, use_rslora, rank_pattern, alpha_pattern }: RankFields): Partial<LoraSpec> {
  // alpha/√r with rsLoRA.
  const factor = use_rslora ? Math.SQRT2 : 2;
  const times = (pattern: Readonly<Record<string, number>>, by: number) =>
    Object.fromEntries(Object.entries(pattern).map(([key, value]) => [key, value * by]));
  return {
    r: 2 * r,
    lora_alpha: lora_alpha * factor,
    ...rank_pattern === undefined ? {} : { rank_pattern: times(rank_pattern, 2) },
    ...alpha_pattern === undefined ? {} : { alpha_pattern: times(alpha_pattern, factor) },
  };
}

/** A weight has no more singular values than rows or columns. Throws `invalid_request` that names the layer. */
export function assertRanksExist(modules: readonly AdapterModule[]): void {
  for (const { name, rank, outFeatures, inFeatures } of modules) {
    const most = Math.min(outFeatures, inFeatures);
    if (rank <= most) continue;
    const message =
      `lora.r is ${rank} for the layer ${quote(name)} of [${outFeatures}, ${inFeatures}], which has only ` +
      `${most} singular values for lora.init_lora_weights "pissa" to start from: lower lora.r (or lora.rank_pattern) to ` +
      `at most ${most}, or leave init_lora_weights out`;
    throw new LoraFleetError("invalid_request", message, { param: "lora.r" });
  }
}
