/** The layers that get an adapter, each with its rank and scale: PEFT's rules for `rank_pattern` and `alpha_pattern`. */
import { LoraFleetError, quote } from "../errors.ts";
import { layoutAdapter } from "../model/gradient_layout.ts";
import type { LinearModule, ModelModules } from "../model/model_tensors.ts";
import { chosenModules, type ModuleChoice } from "./chosen_modules.ts";
import type { LoraSpec } from "./job_spec_schema.ts";
import { isPissa } from "./pissa.ts";
import { compileNames } from "./target_modules.ts";

export interface AdapterModule extends LinearModule {
  readonly rank: number;
  /** alpha/r, or alpha/√r with rsLoRA: the factor of B·A·x. */
  readonly scale: number;
}

type RankFields = Pick<LoraSpec, "r" | "lora_alpha" | "use_rslora" | "rank_pattern" | "alpha_pattern">;

/** In f32: workers update it in WebAssembly, one memory for each array, and 32-bit addresses end there. */
const MAX_ADAPTER_BYTES = 4 * 2 ** 30;

/**
 * In the model's order. Throws `invalid_request` if a listed name matches no module (PEFT refuses only when no name matches; a
 * misspelled one would train something else than was asked for), or a pattern none, or one that carries no adapter here.
 */
export function adapterModules(lora: ModuleChoice & RankFields, modules: ModelModules): AdapterModule[] {
  const chosen = chosenModules(lora, modules);
  const rankOf = rankFunction(lora);
  for (const field of ["rank_pattern", "alpha_pattern"] as const) checkPattern(field, lora[field], chosen);
  return chosen.map((module) => ({ ...module, ...rankOf(module.name) }));
}

function checkPattern(field: PatternField, pattern: Pattern, chosen: readonly LinearModule[]): void {
  const given = patternsOf(field, pattern);
  const useless = given.find(({ matches }) => !chosen.some(({ name }) => matches(name)));
  if (useless !== undefined) {
    const message =
      `lora.${field}: ${quote(useless.key)} matches none of the ${chosen.length} layers that get an ` +
      `adapter; the first one is called ${quote(chosen[0]?.name)}`;
    throw new LoraFleetError("invalid_request", message, { param: `lora.${field}` });
  }
  // PEFT saves the keys in alphabetical order, so that another one would count when the adapter is loaded.
  const saved = given.toSorted((left, right) => left.key < right.key ? -1 : 1);
  for (const { name } of chosen) {
    const [first, second] = [given, saved].map((keys) => keys.find(({ matches }) => matches(name)));
    if (first?.value === second?.value) continue;
    const message =
      `lora.${field}: ${quote(first?.key)} and ${quote(second?.key)} both match ${quote(name)}; PEFT saves ` +
      "them in alphabetical order, and the first that matches counts: write keys that do not overlap";
    throw new LoraFleetError("invalid_request", message, { param: `lora.${field}` });
  }
}

/** The rank and scale of a module: those of the first pattern that matches the end of its name from a dot on. */
export function rankFunction(lora: RankFields): (module: string) => { rank: number; scale: number } {
  const ranks = patternsOf("rank_pattern", lora.rank_pattern);
  const alphas = patternsOf("alpha_pattern", lora.alpha_pattern);
  return (module) => {
    const rank = ranks.find(({ matches }) => matches(module))?.value ?? lora.r;
    const alpha = alphas.find(({ matches }) => matches(module))?.value ?? lora.lora_alpha;
    return { rank, scale: lora.use_rslora ? alpha / Math.sqrt(rank) : alpha / rank };
  };
}

/** Whether the keys of both patterns are regular expressions; needs no model. */
export function checkRankPatterns({ rank_pattern, alpha_pattern }: RankFields): void {
  patternsOf("rank_pattern", rank_pattern);
  patternsOf("alpha_pattern", alpha_pattern);
}

type PatternField = "rank_pattern" | "alpha_pattern";
type Pattern = LoraSpec[PatternField];

function patternsOf(field: PatternField, pattern: Pattern = {}) {
  return Object.entries(pattern).map(([key, value]) => ({
    key,
    value,
    matches: compileNames(`lora.${field}`, key, `(.*\\.)?(${key})`),
  }));
}

const bytesOf = (modules: readonly AdapterModule[]) => 4 * layoutAdapter(modules).elementCount;

/** The layers of a job's adapter. Throws as `adapterModules`, and if the adapter is larger than workers can update. */
export function checkSpecAgainstModel(
  { lora }: { readonly lora: LoraSpec },
  modules: ModelModules,
): AdapterModule[] {
  const adapted = adapterModules(lora, modules);
  if (isPissa(lora)) assertRanksExist(adapted);
  const bytes = bytesOf(adapted);
  if (bytes <= MAX_ADAPTER_BYTES) return adapted;
  const takes =
    `with which the adapter of ${adapted.length} layers takes ${(bytes / 2 ** 30).toFixed(1)} GiB; the ` +
    "optimizer's arrays have at most 4 GiB each";
  const fewer = "name fewer layers in lora.target_modules";
  if (lora.rank_pattern !== undefined) {
    const message = `lora.rank_pattern is ${
      quote(lora.rank_pattern)
    } and lora.r ${lora.r}, ${takes}: lower them, or ${fewer}`;
    throw new LoraFleetError("invalid_request", message, { param: "lora.rank_pattern" });
  }
  let most = Math.floor(MAX_ADAPTER_BYTES / bytes * lora.r);
  while (bytesOf(adapted.map((module) => ({ ...module, rank: most }))) > MAX_ADAPTER_BYTES) most--;
  const message = `lora.r is ${lora.r}, ${takes}: lower it to at most ${most}, or ${fewer}`;
  throw new LoraFleetError("invalid_request", message, { param: "lora.r" });
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
