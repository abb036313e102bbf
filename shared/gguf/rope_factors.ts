/** RoPEs whose frequencies are divided each by its own number: in GGUF, tensors of these divisors. */
import type { Rope, TransformerSpec } from "../model/transformer_spec.ts";

/** By the tensor's name, f32; none for other RoPEs. */
export function ropeFactors({ ropes }: Pick<TransformerSpec, "ropes">): ReadonlyMap<string, Float32Array> {
  const rope = ropes[0]!;
  switch (rope.scaling?.kind) {
    case "llama3":
      return new Map([["rope_freqs.weight", llama3Factors(rope, rope.scaling)]]);
    // llama.cpp takes the long ones if its context is longer than the original one.
    case "longrope":
      return new Map([
        ["rope_factors_long.weight", Float32Array.from(rope.scaling.longFactors)],
        ["rope_factors_short.weight", Float32Array.from(rope.scaling.shortFactors)],
      ]);
    default:
      return new Map();
  }
}

/** `_compute_llama3_parameters` of transformers/modeling_rope_utils.py. */
function llama3Factors(
  { theta, dimensions }: Rope,
  { factor, lowFrequencyFactor: low, highFrequencyFactor: high, originalMaxPositions: original }: Extract<
    Rope["scaling"],
    { kind: "llama3" }
  >,
): Float32Array {
  return Float32Array.from({ length: dimensions / 2 }, (_, i) => {
    const wavelength = 2 * Math.PI * theta ** (2 * i / dimensions);
    if (wavelength < original / high) return 1;
    if (wavelength > original / low) return factor;
    const smooth = (original / wavelength - low) / (high - low);
    return 1 / ((1 - smooth) / factor + smooth);
  });
}
