/** RoPE's parameters in config.json, in both spellings. */
import { quote } from "../errors.ts";
import { type ConfigJson, refuse, type RopeJson } from "./config_json.ts";
import type { Rope, RopeScaling } from "./transformer_spec.ts";

interface RopeSection {
  readonly name: "rope_scaling" | "rope_parameters";
  readonly parameters: RopeJson;
  readonly kind: string;
}

/** The names of `rope_type` and what they mean, in most families. */
const KINDS = Object.fromEntries(
  ["default", "linear", "dynamic", "yarn", "longrope", "llama3"].map((kind) => [kind, kind]),
);

/**
 * A way to rotate, as config.json has it for all layers.
 * @param kinds the family's own names of `rope_type`, and those above that they mean
 */
export function parseRope(
  config: ConfigJson,
  headDim: number,
  maxPositionEmbeddings: number,
  kinds: Readonly<Record<string, string>> = KINDS,
): Rope {
  const section = ropeOf(config, kinds);
  const dimensions = rotatedDimensions(section, config, headDim);
  return {
    theta: section?.parameters.rope_theta ?? config.rope_theta ?? 10_000,
    scaling: section === null ? null : parseRopeScaling(section, config, maxPositionEmbeddings, dimensions),
    dimensions,
  };
}

/** `partial_rotary_factor` of each head, without the fraction of an element. */
function rotatedDimensions(section: RopeSection | null, config: ConfigJson, headDim: number): number {
  const given = section?.parameters.partial_rotary_factor;
  const factor = given ?? config.partial_rotary_factor ?? 1;
  const dimensions = Math.trunc(headDim * factor);
  if (dimensions >= 2 && dimensions <= headDim && dimensions % 2 === 0) return dimensions;
  const field = given === undefined ? "partial_rotary_factor" : `${section!.name}.partial_rotary_factor`;
  const right =
    `it rotates ${dimensions} of a head's ${headDim} elements; an even number from 2 to ${headDim} is needed`;
  throw refuse(field, factor, right);
}

/** Like transformers 5, prefers the older spelling if both are given; an empty section counts as absent. */
function ropeOf(config: ConfigJson, kinds: Readonly<Record<string, string>>): RopeSection | null {
  for (const name of ["rope_scaling", "rope_parameters"] as const) {
    const parameters = config[name];
    if (parameters === undefined || Object.values(parameters).every((value) => value === undefined)) continue;
    const given = parameters.rope_type ?? parameters.type ?? "default";
    if (Object.hasOwn(kinds, given)) return { name, parameters, kind: kinds[given]! };
    throw refuse(
      `${name}.rope_type`,
      given,
      `one of ${Object.keys(kinds).map(quote).join(", ")} is supported`,
    );
  }
  return null;
}

function parseRopeScaling(
  { name: section, parameters: rope, kind }: RopeSection,
  config: ConfigJson,
  maxPositionEmbeddings: number,
  dimensions: number,
): RopeScaling | null {
  const need = (key: "factor" | "low_freq_factor" | "high_freq_factor"): number => {
    const value = rope[key];
    if (value === undefined) throw refuse(`${section}.${key}`, value, `rope_type ${quote(kind)} needs it`);
    return value;
  };
  const originalMaxPositions = config.original_max_position_embeddings ??
    rope.original_max_position_embeddings ?? maxPositionEmbeddings;
  switch (kind) {
    case "default":
      return null;
    case "linear":
    case "dynamic":
      return { kind, factor: need("factor") };
    case "llama3": {
      const lowFrequencyFactor = need("low_freq_factor");
      const highFrequencyFactor = need("high_freq_factor");
      if (highFrequencyFactor <= lowFrequencyFactor) {
        const right = `it must exceed low_freq_factor, which is ${lowFrequencyFactor}`;
        throw refuse(`${section}.high_freq_factor`, highFrequencyFactor, right);
      }
      const factor = need("factor");
      return { kind, factor, lowFrequencyFactor, highFrequencyFactor, originalMaxPositions };
    }
    case "yarn":
      return parseYarn(rope, maxPositionEmbeddings, originalMaxPositions);
    case "longrope":
      return parseLongRope(section, rope, dimensions, maxPositionEmbeddings, originalMaxPositions);
    default:
      throw new Error(`a family's rope_type means ${quote(kind)}, which is not known`);
  }
}

/** `_compute_yarn_parameters` of transformers/modeling_rope_utils.py, up to the frequencies. */
function parseYarn(
  rope: RopeJson,
  maxPositionEmbeddings: number,
  originalMaxPositions: number,
): Extract<RopeScaling, { kind: "yarn" }> {
  const factor = rope.factor ?? maxPositionEmbeddings / originalMaxPositions;
  const magnitude = (scale: number) => factor <= 1 ? 1 : 0.1 * scale * Math.log(factor) + 1;
  const { mscale = 0, mscale_all_dim: allDimensions = 0 } = rope;
  const attentionFactor = rope.attention_factor ??
    (mscale !== 0 && allDimensions !== 0 ? magnitude(mscale) / magnitude(allDimensions) : magnitude(1));
  return {
    kind: "yarn",
    factor,
    attentionFactor,
    betaFast: rope.beta_fast ?? 32,
    betaSlow: rope.beta_slow ?? 1,
    originalMaxPositions,
    truncate: rope.truncate ?? true,
  };
}

/** `_compute_longrope_parameters` of the same file, up to the frequencies. */
function parseLongRope(
  section: RopeSection["name"],
  rope: RopeJson,
  dimensions: number,
  maxPositionEmbeddings: number,
  originalMaxPositions: number,
): Extract<RopeScaling, { kind: "longrope" }> {
  const factorsOf = (key: "short_factor" | "long_factor"): readonly number[] => {
    const factors = rope[key];
    if (factors?.length === dimensions / 2) return factors;
    const right = `rope_type "longrope" needs a factor for each of the ${
      dimensions / 2
    } rotated pairs of a head`;
    throw refuse(`${section}.${key}`, factors, right);
  };
  const factor = rope.factor ?? maxPositionEmbeddings / originalMaxPositions;
  return {
    kind: "longrope",
    shortFactors: factorsOf("short_factor"),
    longFactors: factorsOf("long_factor"),
    attentionFactor: rope.attention_factor ??
      (factor <= 1 ? 1 : Math.sqrt(1 + Math.log(factor) / Math.log(originalMaxPositions))),
    originalMaxPositions,
  };
}
