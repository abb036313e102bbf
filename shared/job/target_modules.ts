/** Which linear layers get an adapter: PEFT's rules for `target_modules`. */
import { LoraFleetError, quote } from "../errors.ts";
import type { JobSpec, LoraSpec } from "./job_spec_schema.ts";
import type { LinearModule, ModelModules } from "../model/model_tensors.ts";
import { compileFullMatch } from "../python/regex/regex.ts";

/** An adapter is one buffer, in f32; WebGPU binds no more than this on any device. */
const MAX_ADAPTER_BYTES = 2 ** 32 - 4;

/** The output embedding, which PEFT's "all-linear" leaves out. */
const OUTPUT_EMBEDDING = "lm_head";

/**
 * The modules that get an adapter, in the model's order. Throws `invalid_request` if a listed name matches no module (PEFT
 * refuses only when no name matches; a misspelled one would train less than was asked for), if a pattern matches none, or
 * one that carries no adapter here, or if the adapter is larger than a GPU can bind.
 */
export function checkSpecAgainstModel(
  spec: Pick<JobSpec, "lora">,
  modules: ModelModules,
): LinearModule[] {
  const targeted = targetedModules(spec.lora.target_modules, modules);
  const { r } = spec.lora;
  const bytesPerRank = 4 *
    targeted.reduce((sum, { outFeatures, inFeatures }) => sum + outFeatures + inFeatures, 0);
  if (r * bytesPerRank <= MAX_ADAPTER_BYTES) return targeted;
  throw new LoraFleetError(
    "invalid_request",
    `lora.r is ${r}, with which the adapter of ${targeted.length} layers takes ` +
      `${(r * bytesPerRank / 2 ** 30).toFixed(1)} GiB; a GPU binds at most 4 GiB at once: lower it to at ` +
      `most ${Math.floor(MAX_ADAPTER_BYTES / bytesPerRank)}, or name fewer layers in lora.target_modules`,
    { param: "lora.r" },
  );
}

/**
 * `check_target_module_exists` of peft/tuners/tuners_utils.py: a listed name matches a module of that name, or one that ends in it
 * after a dot; a text is "all-linear", or a regular expression that must match a module's whole name (`re.fullmatch`).
 */
export function targetedModules(
  targets: LoraSpec["target_modules"],
  { linear: modules, other: otherNames }: ModelModules,
): LinearModule[] {
  if (typeof targets !== "string") return listedModules(targets, modules);
  if (isAllLinear(targets)) return modules.filter(({ name }) => lastPart(name) !== OUTPUT_EMBEDDING);
  const matches = compilePattern(targets);
  const found = modules.filter(({ name }) => matches(name));
  const other = otherNames.find(matches);
  if (other !== undefined) {
    throw invalid(
      `lora.target_modules: the pattern ${quote(targets)} also matches ${quote(other)}, which carries no ` +
        `adapter here; write one that matches linear layers alone, such as ".*\\\\.(q_proj|v_proj)"`,
    );
  }
  if (found.length > 0) return found;
  throw invalid(
    `lora.target_modules: no linear layer's whole name matches the pattern ${quote(targets)}; the first ` +
      `one is called ${quote(modules[0]?.name)}, so that a pattern for its last part begins with ".*\\\\."`,
  );
}

/** PEFT does not mind capitals. */
export function isAllLinear(targets: LoraSpec["target_modules"]): boolean {
  return typeof targets === "string" && targets.toLowerCase() === "all-linear";
}

/** Throws as `targetedModules` for a text that is no pattern; needs no model. */
export function checkTargetPattern(targets: LoraSpec["target_modules"]): void {
  if (typeof targets === "string" && !isAllLinear(targets)) compilePattern(targets);
}

function compilePattern(pattern: string): (name: string) => boolean {
  const explain = <T>(work: () => T): T => {
    try {
      return work();
    } catch (thrown) {
      if (!(thrown instanceof LoraFleetError)) throw thrown;
      throw invalid(
        `lora.target_modules is ${quote(pattern)}, a regular expression as for Python's re.fullmatch: ` +
          `${thrown.message}`,
      );
    }
  };
  const matches = explain(() => compileFullMatch(pattern));
  return (name) => explain(() => matches(name));
}

function listedModules(targets: readonly string[], modules: readonly LinearModule[]): LinearModule[] {
  const matches = (name: string, target: string) => name === target || name.endsWith(`.${target}`);
  const unmatched = targets.filter((target) => !modules.some(({ name }) => matches(name, target)));
  if (unmatched.length === 0) {
    return modules.filter(({ name }) => targets.some((target) => matches(name, target)));
  }
  const known = [...new Set(modules.map(({ name }) => lastPart(name)))];
  throw invalid(
    `lora.target_modules: ${unmatched.map(quote).join(", ")} matches no linear layer of the ` +
      `base model; its linear layers are called ${known.map(quote).join(", ")}`,
  );
}

function invalid(message: string): LoraFleetError {
  return new LoraFleetError("invalid_request", message, { param: "lora.target_modules" });
}

function lastPart(name: string): string {
  return name.slice(name.lastIndexOf(".") + 1);
}
