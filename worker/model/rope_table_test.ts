import { assert, assertAlmostEquals, assertEquals, assertLess, assertThrows } from "@std/assert";
import { LoraFleetError } from "../../shared/errors.ts";
import { llama2, llama32 } from "../../shared/model/config_fixture.ts";
import { goldenPath } from "../../tests/golden/golden.ts";
import { openSafetensors } from "../../shared/checkpoint/safetensors.ts";
import { longRopeStart, ropeRow } from "../../shared/model/positions/long_rope.ts";
import { parseTransformerSpec } from "../../shared/model/parse_transformer_spec.ts";
import { checkPositions, inverseFrequencies, ropeTable } from "./rope_table.ts";

const golden = openSafetensors(goldenPath("rope.safetensors"));
const positions = new Int32Array(golden.read("positions").buffer);

const FACTORS = {
  short_factor: Array.from({ length: 16 }, (_, i) => 1 + 0.05 * i),
  long_factor: Array.from({ length: 16 }, (_, i) => 1 + 2.5 * i),
};

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
  longrope_short: {
    head_dim: 32,
    max_position_embeddings: 131072,
    rope_scaling: { type: "longrope", original_max_position_embeddings: 4096, ...FACTORS },
  },
  longrope_long: {
    head_dim: 32,
    max_position_embeddings: 8192,
    original_max_position_embeddings: 4095,
    rope_parameters: { rope_type: "longrope", factor: 32, ...FACTORS },
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
    const count = Math.max(...positions) + 1;
    const longStart = longRopeStart(spec, count);
    const frequencies = inverseFrequencies(spec.ropes[0]!, longStart !== null);
    const expected = golden.readFloat32(`${name}.frequencies`);
    // torch's f32 power function is accurate to one unit in the last place; each later rounding adds one.
    const unit = 2 ** -23;
    frequencies.forEach((frequency, i) => assertLess(Math.abs(frequency / expected[i]! - 1), 4 * unit));

    const { cos, sin } = ropeTable(spec.ropes[0]!, count, longStart);
    const [expectedCos, expectedSin] = [golden.readFloat32(`${name}.cos`), golden.readFloat32(`${name}.sin`)];
    // Cosines and sines are up to this much larger than 1.
    const { scaling } = spec.ropes[0]!;
    const scale = scaling !== null && "attentionFactor" in scaling ? Math.max(1, scaling.attentionFactor) : 1;
    let equal = 0;
    positions.forEach((position, row) => {
      for (let i = 0; i < half; i++) {
        const drift = position * Math.abs(frequencies[i]! - expected[i]!);
        const at = ropeRow(position, count, longStart) * half + i;
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

Deno.test("RoPE: position 0 does not turn, angles grow by the frequencies, linear scaling stretches them", () => {
  const spec = parseTransformerSpec(llama2);
  const { cos, sin } = ropeTable(spec.ropes[0]!, 3);
  const frequencies = inverseFrequencies(spec.ropes[0]!);
  assertEquals(frequencies[0], 1);
  assertAlmostEquals(frequencies[63]!, 10000 ** (-126 / 128), 1e-11);
  for (let i = 0; i < 64; i++) {
    assertEquals([cos[i], sin[i]], [1, 0]);
    assertAlmostEquals(cos[128 + i]!, Math.cos(2 * frequencies[i]!), 1e-7);
    assertAlmostEquals(sin[128 + i]!, Math.sin(2 * frequencies[i]!), 1e-7);
  }
  const stretched = parseTransformerSpec({ ...llama2, rope_scaling: { type: "linear", factor: 4 } });
  assertEquals(inverseFrequencies(stretched.ropes[0]!), frequencies.map((frequency) => frequency / 4));
});

Deno.test("RoPE of llama3: short waves as they are, long ones stretched by the factor, a blend between", () => {
  const unscaled = parseTransformerSpec({ ...llama32, rope_parameters: { rope_theta: 500000 } });
  const [plain, scaled] = [unscaled, parseTransformerSpec(llama32)].map(({ ropes }) =>
    inverseFrequencies(ropes[0]!)
  ) as [Float32Array, Float32Array];
  plain.forEach((frequency, i) => {
    const turns = 8192 * frequency / (2 * Math.PI);
    if (turns > 4) assertEquals(scaled[i], frequency);
    else if (turns < 1) assertEquals(scaled[i], frequency / 32);
    else {
      const smooth = (turns - 1) / 3;
      const blend = (1 - smooth) * frequency / 32 + smooth * frequency;
      assertAlmostEquals(scaled[i]!, blend, 1e-6 * blend);
    }
  });
  assert(plain.some((frequency, i) => scaled[i]! < frequency && scaled[i]! > frequency / 32));
});

Deno.test("dynamic RoPE is exact up to max_position_embeddings; longer documents are refused", () => {
  const spec = parseTransformerSpec({ ...llama2, rope_scaling: { type: "dynamic", factor: 2 } });
  const [plain] = parseTransformerSpec(llama2).ropes;
  assertEquals(inverseFrequencies(spec.ropes[0]!), inverseFrequencies(plain!));
  checkPositions(spec, 4096);
  assertThrows(
    () => checkPositions(spec, 4097),
    LoraFleetError,
    "max_position_embeddings is 4096, and beyond it dynamic RoPE",
  );
});
