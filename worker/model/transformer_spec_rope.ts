/**
 * RoPE's cosines and sines as transformers computes them (`LlamaRotaryEmbedding`, `_compute_llama3_parameters`): every
 * intermediate is f32, because at position 4096 one unit in the last place of a frequency already moves the angle by 2e-4.
 */
import { LoraFleetError } from "../../shared/errors.ts";
import type { RopeScaling, TransformerSpec } from "../../shared/model/transformer_spec.ts";

const f32 = Math.fround;

/**
 * Refuses documents beyond a sliding window: attention here looks back to their beginning, which is the same up to there.
 * @param positions the highest position + 1
 * @throws LoraFleetError `invalid_model` where documents are longer than Mistral's sliding window
 */
export function checkPositions(spec: TransformerSpec, positions: number): void {
  if (spec.slidingWindow === null || positions <= spec.slidingWindow) return;
  throw new LoraFleetError(
    "invalid_model",
    `Preparing ${positions} positions failed: sliding_window is ${spec.slidingWindow}, and attention within a window ` +
      `is not supported. Use documents of at most ${spec.slidingWindow} tokens.`,
    { param: "sliding_window" },
  );
}

/** The angle in radians that each pair of elements turns by from one position to the next, f32 [headDim/2]. */
export function inverseFrequencies(spec: TransformerSpec): Float32Array {
  const { headDim, ropeTheta, ropeScaling } = spec;
  return Float32Array.from({ length: headDim / 2 }, (_, i) => {
    const frequency = f32(1 / f32(ropeTheta ** f32(2 * i / headDim)));
    if (ropeScaling === null) return frequency;
    return ropeScaling.kind === "linear"
      ? f32(frequency / ropeScaling.factor)
      : scaleLlama3(frequency, ropeScaling);
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
 * Cosines and sines of every position's angles, each f32 [positions, headDim/2]. Element i of a head turns together
 * with element i + headDim/2 (`rotate_half`).
 * @param positions the highest position + 1
 * @throws LoraFleetError `invalid_model` where `positions` exceeds an active sliding window
 */
export function ropeTable(
  spec: TransformerSpec,
  positions: number,
): { readonly cos: Float32Array; readonly sin: Float32Array } {
  checkPositions(spec, positions);
  const frequencies = inverseFrequencies(spec);
  const half = frequencies.length;
  const cos = new Float32Array(positions * half);
  const sin = new Float32Array(positions * half);
  for (let position = 0; position < positions; position++) {
    for (let i = 0; i < half; i++) {
      const angle = f32(position * frequencies[i]!);
      cos[position * half + i] = Math.cos(angle);
      sin[position * half + i] = Math.sin(angle);
    }
  }
  return { cos, sin };
}
