import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { layoutAdapter } from "../model/gradient_layout.ts";
import { initialAdapter } from "./fresh_adapter.ts";

const layout = layoutAdapter([
  { name: "model.layers.0.self_attn.q_proj", outFeatures: 48, inFeatures: 96, rank: 8 },
  { name: "model.layers.0.mlp.up_proj", outFeatures: 104, inFeatures: 96, rank: 8 },
  { name: "model.layers.0.mlp.down_proj", outFeatures: 96, inFeatures: 104, rank: 24 },
]);

Deno.test("a fresh adapter: A uniform up to 1/√in, each tensor its own numbers, B zero, the same for the same seed", () => {
  const adapter = initialAdapter(layout, 3);
  assertEquals(initialAdapter(layout, 3), adapter);
  assert(initialAdapter(layout, 4).some((value, i) => value !== adapter[i]));
  const firsts = new Set<number>();
  for (const { name, shape: [rows, columns], offset } of layout.tensors) {
    const values = adapter.subarray(offset, offset + rows * columns);
    if (name.endsWith("lora_B.weight")) {
      assert(values.every((value) => value === 0));
      continue;
    }
    firsts.add(values[0]!);
    // In units of the bound, uniform numbers have mean 0 and mean square 1/3: with n ≥ 768 within 5 standard deviations.
    const scaled = Array.from(values, (value) => value * Math.sqrt(columns));
    const meanOf = (numbers: number[]) => numbers.reduce((sum, value) => sum + value, 0) / numbers.length;
    assert(scaled.every((value) => Math.abs(value) <= 1 + 1e-6));
    assert(Math.abs(meanOf(scaled)) < 5 * Math.sqrt(1 / 3 / scaled.length), name);
    assert(
      Math.abs(meanOf(scaled.map((value) => value ** 2)) - 1 / 3) < 5 * Math.sqrt(4 / 45 / scaled.length),
      name,
    );
  }
  assertEquals(firsts.size, layout.tensors.length / 2);
});

Deno.test("a gaussian start: A normal with deviation 1/r of its own rank, B zero, the same for the same seed", () => {
  const adapter = initialAdapter(layout, 3, "gaussian");
  assertEquals(initialAdapter(layout, 3, "gaussian"), adapter);
  assert(initialAdapter(layout, 4, "gaussian").some((value, i) => value !== adapter[i]));
  for (const { name, shape: [rows, columns], offset } of layout.tensors) {
    const values = adapter.subarray(offset, offset + rows * columns);
    if (name.endsWith("lora_B.weight")) {
      assert(values.every((value) => value === 0));
      continue;
    }
    const scaled = Array.from(values, (value) => value * rows);
    const momentOf = (power: number) =>
      scaled.reduce((sum, value) => sum + value ** power, 0) / scaled.length;
    // Moments of a normal number are 0, 1, 0 and 3; their estimates' variances are 1, 2, 15 and 96 over n.
    for (const [power, moment, variance] of [[1, 0, 1], [2, 1, 2], [3, 0, 15], [4, 3, 96]] as const) {
      assertAlmostEquals(
        momentOf(power),
        moment,
        5 * Math.sqrt(variance / scaled.length),
        `${name} ${power}`,
      );
    }
  }
});

Deno.test("a gaussian start has the same bits on every machine", () => {
  const first = initialAdapter(layout, 42, "gaussian").subarray(0, 4);
  assertEquals([...first], [
    0.06075870618224144,
    0.1428186595439911,
    0.011784207075834274,
    -0.09034369885921478,
  ]);
});
