/**
 * RoPE's cosines and sines as transformers computes them (`LlamaRotaryEmbedding`, `_compute_llama3_parameters`): every
 * intermediate is f32, because at position 4096 one unit in the last place of a frequency already moves the angle by 2e-4.
 */
import { LoraFleetError } from "../../shared/errors.ts";
import { ropeTableRows } from "../../shared/model/positions/long_rope.ts";
import { exceededLimit } from "../../shared/model/positions/position_limit.ts";
import type { Rope, RopeScaling, TransformerSpec } from "../../shared/model/transformer_spec.ts";

const f32 = Math.fround;

/**
 * Refuses documents for which attention or RoPE would not be exact.
 * @param positions the highest position + 1
 * @throws LoraFleetError `invalid_model`
 */
export function checkPositions(spec: TransformerSpec, positions: number): void {
  const limit = exceededLimit(spec, positions);
  if (limit === null) return;
  throw new LoraFleetError(
    "invalid_model",
    `Preparing ${positions} positions failed: ${limit.field} is ${limit.positions}, and ${limit.reason}. ` +
      `Use documents of at most ${limit.positions} tokens.`,
    { param: limit.field },
  );
}

/**
 * The angle in radians that each pair of elements turns by from one position to the next, f32 [dimensions/2].
 * @param isLong of a document beyond the original positions of LongRoPE
 */
export function inverseFrequencies(rope: Rope, isLong = false): Float32Array {
  const { dimensions, theta, scaling } = rope;
  const powers = Float32Array.from({ length: dimensions / 2 }, (_, i) => theta ** f32(2 * i / dimensions));
  if (scaling?.kind === "yarn") return scaleYarn(powers, rope, scaling);
  if (scaling?.kind === "longrope") {
    const factors = isLong ? scaling.longFactors : scaling.shortFactors;
    return powers.map((power, i) => f32(1 / f32(f32(factors[i]!) * power)));
  }
  return powers.map((power) => {
    const frequency = f32(1 / power);
    switch (scaling?.kind) {
      case undefined:
      case "dynamic":
        return frequency;
      case "linear":
        return f32(frequency / scaling.factor);
      case "llama3":
        return scaleLlama3(frequency, scaling);
    }
  });
}

/**
 * YaRN (`_compute_yarn_parameters`): dimensions that turn more than `betaFast` times within the original length are left alone,
 * those that turn less than `betaSlow` times are stretched by `factor`, those between are blended.
 */
function scaleYarn(
  powers: Float32Array,
  { dimensions, theta }: Rope,
  { factor, betaFast, betaSlow, originalMaxPositions, truncate }: Extract<RopeScaling, { kind: "yarn" }>,
): Float32Array {
  const dimensionOf = (turns: number) =>
    dimensions * Math.log(originalMaxPositions / (turns * 2 * Math.PI)) / (2 * Math.log(theta));
  const [first, last] = [dimensionOf(betaFast), dimensionOf(betaSlow)];
  const low = Math.max(truncate ? Math.floor(first) : first, 0);
  const high = Math.min(truncate ? Math.ceil(last) : last, dimensions - 1);
  // If both are equal, transformers widens the blend by as much to avoid a division by zero.
  const width = low === high ? 0.001 : high - low;
  return powers.map((power, i) => {
    const ramp = Math.min(1, Math.max(0, f32(f32(i - f32(low)) / f32(width))));
    const kept = f32(1 - ramp);
    const stretched = f32(1 / f32(factor * power));
    return f32(f32(stretched * f32(1 - kept)) + f32(f32(1 / power) * kept));
  });
}

/** Long waves are stretched by `factor`, short ones are left alone, those between are blended. */
function scaleLlama3(frequency: number, scaling: Extract<RopeScaling, { kind: "llama3" }>): number {
  const { factor, lowFrequencyFactor, highFrequencyFactor, originalMaxPositions } = scaling;
  const wavelength = f32(f32(2 * Math.PI) * f32(1 / frequency));
  if (wavelength < originalMaxPositions / highFrequencyFactor) return frequency;
  if (wavelength > originalMaxPositions / lowFrequencyFactor) return f32(frequency / factor);
  const turns = f32(f32(1 / wavelength) * originalMaxPositions);
  const smooth = f32(f32(turns - lowFrequencyFactor) / (highFrequencyFactor - lowFrequencyFactor));
  return f32(f32(f32(f32(1 - smooth) * frequency) / factor) + f32(smooth * frequency));
}

/**
 * Cosines and sines of every position's angles, each f32 [ropeTableRows, dimensions/2]. Element i of a head turns together
 * with element i + dimensions/2 (`rotate_half`).
 * @param positions the highest position + 1
 * @param longStart the row at which the positions of long documents begin (long_rope.ts); null: there are none
 */
export function ropeTable(
  rope: Rope,
  positions: number,
  longStart: number | null = null,
): { readonly cos: Float32Array; readonly sin: Float32Array } {
  const half = rope.dimensions / 2;
  const count = ropeTableRows(positions, longStart) * half;
  const table = { cos: new Float32Array(count), sin: new Float32Array(count) };
  const scale = attentionFactorOf(rope);
  fillRows(table, 0, longStart ?? positions, inverseFrequencies(rope), scale);
  if (longStart !== null) {
    fillRows(table, longStart * half, positions, inverseFrequencies(rope, true), scale);
  }
  return table;
}

function attentionFactorOf({ scaling }: Rope): number {
  return scaling?.kind === "yarn" || scaling?.kind === "longrope" ? f32(scaling.attentionFactor) : 1;
}

function fillRows(
  { cos, sin }: { readonly cos: Float32Array; readonly sin: Float32Array },
  at: number,
  positions: number,
  frequencies: Float32Array,
  scale: number,
): void {
  for (let position = 0; position < positions; position++) {
    for (const frequency of frequencies) {
      const angle = f32(position * frequency);
      cos[at] = f32(Math.cos(angle)) * scale;
      sin[at] = f32(Math.sin(angle)) * scale;
      at++;
    }
  }
}
