/**
 * PiSSA (https://arxiv.org/abs/2404.02948) as PEFT has it: an adapter that starts as the largest singular values of each weight,
 * on a base that is what they leave, NF4(W − s·B₀·A₀). What is handed out works on the base model itself: as in PEFT's
 * `path_initial_model_for_weight_conversion`, s·(B·A − B₀·A₀) as a LoRA of twice the rank, [A; A₀] and [B, −B₀].
 */
import { LoraFleetError } from "../errors.ts";
import type { LoraSpec } from "./job_spec_schema.ts";

export type RankFields = Pick<
  LoraSpec,
  "r" | "lora_alpha" | "use_rslora" | "rank_pattern" | "alpha_pattern"
>;

export const isPissa = (
  { init_lora_weights: init }: { readonly init_lora_weights?: LoraSpec["init_lora_weights"] },
): boolean => init !== undefined && init.startsWith("pissa");

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

/** The ranks of a job's result. */
export function resultRanks(
  lora: Pick<LoraSpec, "r" | "rank_pattern" | "init_lora_weights">,
): Pick<LoraSpec, "r" | "rank_pattern"> {
  if (!isPissa(lora)) return lora;
  const { r, rank_pattern = {} } = lora;
  return { r: 2 * r, rank_pattern: times(rank_pattern, 2) };
}

/** Twice the rank, with the same scales. */
function doubled({ r, lora_alpha, use_rslora, rank_pattern, alpha_pattern }: RankFields): Partial<LoraSpec> {
  // alpha/√r with rsLoRA.
  const factor = use_rslora ? Math.SQRT2 : 2;
  return {
    r: 2 * r,
    lora_alpha: lora_alpha * factor,
    ...rank_pattern === undefined ? {} : { rank_pattern: times(rank_pattern, 2) },
    ...alpha_pattern === undefined ? {} : { alpha_pattern: times(alpha_pattern, factor) },
  };
}

/**
 * PiSSA needs the weights as they were before NF4. Throws `invalid_request`.
 * @param storedDoubleQuantization null: the base model is not stored in NF4
 */
export function assertUnquantised(storedDoubleQuantization: boolean | null): void {
  if (storedDoubleQuantization === null) return;
  const message =
    `lora.init_lora_weights is "pissa", which takes the base model's weights apart before they are ` +
    "quantised, but this base model is stored in NF4; name the model in 16 or 32 bits, or leave the field out";
  throw new LoraFleetError("invalid_request", message, { param: "lora.init_lora_weights" });
}

function times(pattern: Readonly<Record<string, number>>, factor: number): Record<string, number> {
  return Object.fromEntries(Object.entries(pattern).map(([key, value]) => [key, value * factor]));
}
