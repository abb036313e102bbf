/** Which linear layers get an adapter: PEFT's rules for `target_modules`. */
import { LoraFleetError, quote } from "../errors.ts";
import type { LoraSpec } from "./job_spec_schema.ts";
import type { LinearModule, ModelModules } from "../model/model_tensors.ts";
import { compileFullMatch } from "../python/regex/regex.ts";

const TARGETS = "lora.target_modules";

/** The output embedding, which PEFT's "all-linear" leaves out. */
const OUTPUT_EMBEDDING = "lm_head";

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
  const matches = compileNames(TARGETS, targets);
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
  if (typeof targets === "string" && !isAllLinear(targets)) compileNames(TARGETS, targets);
}

/**
 * A test of whole names by a regular expression that a client wrote into `field`.
 * @param whole the expression to match with, if it is not the client's alone
 */
export function compileNames(field: string, pattern: string, whole = pattern): (name: string) => boolean {
  const explain = <T>(work: () => T): T => {
    try {
      return work();
    } catch (thrown) {
      if (!(thrown instanceof LoraFleetError)) throw thrown;
      throw new LoraFleetError(
        "invalid_request",
        `${field} is ${quote(pattern)}, a regular expression as for Python's re.fullmatch: ${thrown.message}`,
        { param: field },
      );
    }
  };
  const matches = explain(() => compileFullMatch(whole));
  return (name) => explain(() => matches(name));
}

/** Whether a module has a listed name, or one that ends in it after a dot. */
export function isListed(name: string, listed: string): boolean {
  return name === listed || name.endsWith(`.${listed}`);
}

function listedModules(targets: readonly string[], modules: readonly LinearModule[]): LinearModule[] {
  const unmatched = targets.filter((target) => !modules.some(({ name }) => isListed(name, target)));
  if (unmatched.length === 0) {
    return modules.filter(({ name }) => targets.some((target) => isListed(name, target)));
  }
  const known = [...new Set(modules.map(({ name }) => lastPart(name)))];
  throw invalid(
    `lora.target_modules: ${unmatched.map(quote).join(", ")} matches no linear layer of the ` +
      `base model; its linear layers are called ${known.map(quote).join(", ")}`,
  );
}

function invalid(message: string): LoraFleetError {
  return new LoraFleetError("invalid_request", message, { param: TARGETS });
}

function lastPart(name: string): string {
  return name.slice(name.lastIndexOf(".") + 1);
}
