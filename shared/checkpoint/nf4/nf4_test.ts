import { assert, assertEquals, assertLess, assertThrows } from "@std/assert";
import { LoraFleetError } from "../../errors.ts";
import { pcg32 } from "../../prng.ts";
import { goldenPath } from "../../../tests/golden/golden.ts";
import { dequantizeNf4 } from "./nf4.ts";
import { quantizeNf4 } from "./nf4_quantise.ts";
import { NF4_CODEBOOK } from "./codebook.ts";
import { DYNAMIC_MAP } from "./nf4_absmax.ts";
import { meanF32 } from "./nf4_mean.ts";
import { openSafetensors } from "../safetensors.ts";

const golden = openSafetensors(goldenPath("nf4.safetensors"));

/** Bits, so that −0 and 0 differ and NaN equals itself. */
const bitsOf = (values: Float32Array) => new Uint32Array(values.slice().buffer);

Deno.test("the dynamic map is bitsandbytes' own", () => {
  assertEquals(bitsOf(DYNAMIC_MAP), bitsOf(golden.readFloat32("dynamic_map")));
});

for (const tensor of golden.tensors.keys()) {
  if (!tensor.endsWith(".weight")) continue;
  const name = tensor.slice(0, -".weight".length);
  const [rows, columns] = golden.tensors.get(tensor)!.shape;
  const shape = { rows: rows!, columns: columns! };

  Deno.test(`NF4 has bitsandbytes' bits: ${name}`, () => {
    const weights = quantizeNf4(golden.readFloat32(tensor), { ...shape, doubleQuantization: false });
    assertEquals(weights.codes, golden.read(`${name}.codes`));
    assertEquals(bitsOf(weights.absmax!), bitsOf(golden.readFloat32(`${name}.absmax`)));
    assertEquals(bitsOf(dequantizeNf4(weights)), bitsOf(golden.readFloat32(`${name}.values`)));
  });

  Deno.test(`double quantisation has bitsandbytes' bits: ${name}`, () => {
    const weights = quantizeNf4(golden.readFloat32(tensor), { ...shape, doubleQuantization: true });
    assertEquals(weights.codes, golden.read(`${name}.codes`));
    assertEquals(weights.absmaxCodes, golden.read(`${name}.absmax_codes`));
    assertEquals(bitsOf(weights.nestedAbsmax!), bitsOf(golden.readFloat32(`${name}.nested_absmax`)));
    assertEquals(
      bitsOf(Float32Array.of(weights.nestedOffset)),
      bitsOf(golden.readFloat32(`${name}.nested_offset`)),
    );
    assertEquals(bitsOf(dequantizeNf4(weights)), bitsOf(golden.readFloat32(`${name}.nested_values`)));
  });
}

Deno.test("the mean has torch's bits for any count", () => {
  const counts = [...golden.tensors.keys()].filter((name) => name.startsWith("mean.")).map((name) =>
    Number(name.slice(5))
  );
  assert(counts.length >= 15 && Math.max(...counts) > 2 ** 19);
  for (const count of counts) {
    const values = Float32Array.from({ length: count }, (_, i) => (Math.imul(i, 2654435761) >>> 8) / 2 ** 24);
    assertEquals(meanF32(values), golden.readFloat32(`mean.${count}`)[0], `${count} values`);
  }
});

Deno.test("every code is the nearest of the 16 values", () => {
  const prng = pcg32(7);
  const [rows, columns] = [13, 37];
  const values = Float32Array.from({ length: rows * columns }, () => prng.normal());
  const weights = quantizeNf4(values, { rows, columns, doubleQuantization: false });
  values.forEach((value, i) => {
    const scaled = value / weights.absmax![i >> 6]!;
    const distances = [...NF4_CODEBOOK].map((code) => Math.abs(code - scaled));
    const byte = weights.codes[i >> 1]!;
    const code = i % 2 === 0 ? byte >> 4 : byte & 15;
    assertLess(distances[code]! - Math.min(...distances), 1e-6);
  });
});

Deno.test("a weight that is not finite is refused at any place", () => {
  for (const [bad, at] of [[NaN, 0], [Infinity, 63], [-Infinity, 64], [NaN, 70]] as const) {
    const values = new Float32Array(71).fill(0.1);
    values[at] = bad;
    const error = assertThrows(
      () => quantizeNf4(values, { rows: 1, columns: 71, doubleQuantization: true }),
      LoraFleetError,
      "finite",
    );
    assertEquals(error.code, "invalid_model");
  }
});

Deno.test("a shape that does not fit the weights throws RangeError", () => {
  assertThrows(
    () => quantizeNf4(new Float32Array(6), { rows: 2, columns: 4, doubleQuantization: false }),
    RangeError,
  );
});
