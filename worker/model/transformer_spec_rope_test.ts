import { assert, assertLess } from "@std/assert";
import { goldenPath } from "../../tests/golden/golden.ts";
import { openSafetensors } from "../files/safetensors.ts";
import { inverseFrequencies, parseTransformerSpec, ropeTable } from "./transformer_spec.ts";

const golden = openSafetensors(goldenPath("rope.safetensors"));
const positions = new Int32Array(golden.read("positions").buffer);

const shapes = {
  llama2: { head_dim: 128, rope_parameters: { rope_type: "default", rope_theta: 10000 } },
  llama32: {
    head_dim: 64,
    rope_parameters: {
      rope_type: "llama3",
      rope_theta: 500000,
      factor: 32,
      low_freq_factor: 1,
      high_freq_factor: 4,
      original_max_position_embeddings: 8192,
    },
  },
  linear: { head_dim: 32, rope_parameters: { rope_type: "linear", rope_theta: 10000, factor: 3 } },
  dynamic: {
    head_dim: 32,
    max_position_embeddings: 4096,
    rope_scaling: { type: "dynamic", factor: 2 },
    rope_theta: 10000,
  },
  yarn: {
    head_dim: 128,
    rope_theta: 1000000,
    rope_scaling: { type: "yarn", factor: 4, original_max_position_embeddings: 32768 },
  },
  yarn_mscale: {
    head_dim: 64,
    rope_parameters: {
      rope_type: "yarn",
      rope_theta: 10000,
      factor: 40,
      original_max_position_embeddings: 4096,
      mscale: 0.707,
      mscale_all_dim: 1,
      beta_fast: 20,
      beta_slow: 2,
      truncate: false,
    },
  },
  yarn_attention: {
    head_dim: 64,
    original_max_position_embeddings: 1024,
    rope_parameters: { rope_type: "yarn", rope_theta: 10000, factor: 8, attention_factor: 1.5 },
  },
};

for (const [name, shape] of Object.entries(shapes)) {
  Deno.test(`RoPE agrees with transformers: ${name}`, () => {
    const spec = parseTransformerSpec({
      architectures: ["LlamaForCausalLM"],
      vocab_size: 10,
      hidden_size: 2 * shape.head_dim,
      intermediate_size: 8,
      num_hidden_layers: 1,
      num_attention_heads: 2,
      ...shape,
    });
    const half = shape.head_dim / 2;
    const frequencies = inverseFrequencies(spec);
    const expected = golden.readFloat32(`${name}.frequencies`);
    // torch's power function in f32 is right to one unit in the last place, and the roundings behind it add one each.
    const unit = 2 ** -23;
    frequencies.forEach((frequency, i) => assertLess(Math.abs(frequency / expected[i]! - 1), 4 * unit));

    const { cos, sin } = ropeTable(spec, Math.max(...positions) + 1);
    const [expectedCos, expectedSin] = [golden.readFloat32(`${name}.cos`), golden.readFloat32(`${name}.sin`)];
    // YaRN's cosines and sines are up to this much larger than 1.
    const scale = spec.ropeScaling?.kind === "yarn" ? Math.max(1, spec.ropeScaling.attentionFactor) : 1;
    let equal = 0;
    positions.forEach((position, row) => {
      for (let i = 0; i < half; i++) {
        const drift = position * Math.abs(frequencies[i]! - expected[i]!);
        const at = position * half + i;
        assertLess(Math.abs(cos[at]! - expectedCos[row * half + i]!), scale * (drift * 1.01 + 3 * unit));
        assertLess(Math.abs(sin[at]! - expectedSin[row * half + i]!), scale * (drift * 1.01 + 3 * unit));
        equal += Number(cos[at] === expectedCos[row * half + i]);
      }
    });
    assert(
      equal > 0.5 * positions.length * half,
      `only ${equal} of ${positions.length * half} cosines are equal`,
    );
  });
}
