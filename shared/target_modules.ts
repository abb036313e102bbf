/** Which linear layers get an adapter: PEFT's rules for `target_modules`, and the checks that need the base model. */
import { LoraFleetError, quote } from "./errors.ts";
import type { JobSpec, LoraSpec } from "./job_spec_schema.ts";

/** A linear layer of the base model: `model.layers.0.self_attn.q_proj`, weight [out, in]. */
export interface LinearModule {
  readonly name: string;
  readonly out: number;
  readonly in: number;
}

/** The output embedding, which PEFT's "all-linear" leaves out. */
const OUTPUT_EMBEDDING = "lm_head";

/**
 * Whether PEFT would put an adapter on the module `name`: it is listed, or it ends in a listed name after a dot
 * (`check_target_module_exists` in peft/tuners/tuners_utils.py).
 */
function isTargeted(name: string, targetModules: LoraSpec["target_modules"]): boolean {
  if (targetModules === "all-linear") return lastPart(name) !== OUTPUT_EMBEDDING;
  return targetModules.some((target) => name === target || name.endsWith(`.${target}`));
}

/**
 * The modules that get an adapter, in the model's order. Throws `invalid_request` where a listed name matches no
 * module (PEFT refuses only when no name matches; a misspelled one would train less than was asked for), or where
 * the rank exceeds the smaller side of a targeted layer.
 */
export function checkSpecAgainstModel(
  spec: Pick<JobSpec, "lora">,
  model: { readonly modules: readonly LinearModule[] },
): LinearModule[] {
  const { r, target_modules: targets } = spec.lora;
  const unmatched = targets === "all-linear"
    ? []
    : targets.filter((target) => !model.modules.some(({ name }) => isTargeted(name, [target])));
  const targeted = model.modules.filter(({ name }) => isTargeted(name, targets));
  if (unmatched.length > 0 || targeted.length === 0) {
    const known = [...new Set(model.modules.map(({ name }) => lastPart(name)))];
    throw new LoraFleetError(
      "invalid_request",
      `lora.target_modules: ${
        unmatched.map(quote).join(", ") || quote(targets)
      } matches no linear layer of the ` +
        `base model; its linear layers are called ${known.map(quote).join(", ")}`,
      { param: "lora.target_modules" },
    );
  }
  for (const { name, out, in: inSize } of targeted) {
    if (r > Math.min(out, inSize)) {
      throw new LoraFleetError(
        "invalid_request",
        `lora.r is ${r}, but ${name} is [${out}, ${inSize}]: a rank above ${
          Math.min(out, inSize)
        } would be ` +
          `larger than the layer itself`,
        { param: "lora.r" },
      );
    }
  }
  return targeted;
}

function lastPart(name: string): string {
  return name.slice(name.lastIndexOf(".") + 1);
}
