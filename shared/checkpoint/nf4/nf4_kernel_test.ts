import { assertEquals, assertThrows } from "@std/assert";
import { LoraFleetError } from "../../errors.ts";
import { pcg32 } from "../../prng.ts";
import { toFloat32 } from "../../model/safetensors_dtype.ts";
import { quantizeNf4 as quantizeBefore } from "../../../tests/bench/load/nf4_before.ts";
import { NF4_MIDPOINTS } from "./codebook.ts";
import { KERNEL_WEIGHTS } from "./nf4_kernel.ts";
import { quantizeFrom, quantizeNf4, type WeightDtype } from "./nf4_quantise.ts";

const prng = pcg32(11);
const word = () => prng.uint32();
const bitsOf = (values: Float32Array | null) => values && new Uint32Array(values.slice().buffer);
const floatsOf = (words: Uint32Array) => new Float32Array(words.buffer);

/** Whether both give the same codes, absmax and double quantisation, bit for bit. */
function assertSameBits(dtype: WeightDtype, bytes: Uint8Array<ArrayBuffer>): void {
  const weights = toFloat32(dtype, bytes.slice())!;
  const size = bytes.length / weights.length;
  const fill = (into: Uint8Array, first: number) =>
    into.set(bytes.subarray(size * first, size * first + into.length));
  for (const doubleQuantization of [false, true]) {
    const options = { rows: 1, columns: weights.length, doubleQuantization };
    const [now, before] = [quantizeFrom({ dtype, fill }, options), quantizeBefore(weights, options)];
    const differing = now.codes.findIndex((byte, at) => byte !== before.codes[at]);
    assertEquals(differing, -1, `the codes of weights ${2 * differing} and the next`);
    assertEquals(bitsOf(now.absmax), bitsOf(before.absmax));
    assertEquals(now.absmaxCodes, before.absmaxCodes);
    assertEquals(bitsOf(now.nestedAbsmax), bitsOf(before.nestedAbsmax));
    assertEquals(bitsOf(Float32Array.of(now.nestedOffset)), bitsOf(Float32Array.of(before.nestedOffset)));
  }
}

/** Numbers that a block of weights scales to around each midpoint, its neighbours on both sides included. */
function aroundMidpoints(absmax: number): Float32Array {
  const values = [...NF4_MIDPOINTS].flatMap((midpoint) => {
    const bits = new Int32Array(Float32Array.of(Math.fround(midpoint * absmax)).buffer)[0]!;
    return [...floatsOf(Uint32Array.from([-2, -1, 0, 1], (step) => bits + step))];
  });
  const finite = values.map((value) => Number.isFinite(value) ? value : 0);
  return Float32Array.of(...finite, absmax, -absmax / 2, 0, -0);
}

Deno.test("f32: bits as before for any numbers, around each midpoint, subnormal and huge, in every length of a last block", () => {
  const random = Uint32Array.from({ length: 64 * 300 }, () => {
    const bits = word();
    return (bits & 0x7f800000) === 0x7f800000 ? bits & 0xbfffffff : bits;
  });
  const spread = floatsOf(random);
  // Scaled block by block, so that not one number of a block dwarfs the others.
  const normal = Float32Array.from({ length: 64 * 300 }, (_, i) => prng.normal() * 2 ** (i % 190 - 100));
  const blocks = [1, 0.02, 3e-39, 1e-45, 1.1754944e-38, 3e38, 0.37].flatMap((absmax) => [
    ...aroundMidpoints(absmax),
  ]);
  const all = Float32Array.of(...spread, ...normal, ...blocks, ...new Float32Array(64), ...[-0, 0, -0, 0]);
  assertSameBits("F32", new Uint8Array(all.buffer));
  for (const length of [1, 2, 63, 64, 65, 127, 128, 191]) {
    assertSameBits("F32", new Uint8Array(all.slice(64 * 299, 64 * 299 + length).buffer));
  }
});

Deno.test("bf16 and f16: every finite number, in its own company and in random company", () => {
  for (const [dtype, infinity] of [["BF16", 0x7f80], ["F16", 0x7c00]] as const) {
    const finite = Uint16Array.from(
      { length: 2 * infinity },
      (_, i) => i < infinity ? i : 0x8000 + i - infinity,
    );
    assertSameBits(dtype, new Uint8Array(finite.buffer));
    const shuffled = Uint16Array.from({ length: 64 * 3000 + 17 }, () => finite[word() % finite.length]!);
    assertSameBits(dtype, new Uint8Array(shuffled.buffer));
    const usual = Float32Array.from({ length: 64 * 3000 }, () => 0.02 * prng.normal());
    const bytes = dtype === "F16"
      ? new Float16Array(usual).buffer
      : Uint16Array.from(new Uint32Array(usual.buffer), (bits) => bits >>> 16).buffer;
    assertSameBits(dtype, new Uint8Array(bytes));
  }
});

Deno.test("f64 is rounded to f32 first; a weight larger than one call of the kernel", () => {
  const doubles = Float64Array.from({ length: 64 * 50 + 5 }, () => prng.normal());
  assertSameBits("F64", new Uint8Array(doubles.buffer));
  const many = Uint16Array.from({ length: KERNEL_WEIGHTS + 64 * 3 + 1 }, () => 0x3c00 + word() % 512);
  assertSameBits("BF16", new Uint8Array(many.buffer));
});

Deno.test("a weight that is not finite is refused in every type, naming its block", () => {
  const bad = [["F32", 0x7f800000, 4], ["BF16", 0xff80, 2], ["BF16", 0x7fc0, 2], ["F16", 0xfc00, 2], [
    "F16",
    0x7c01,
    2,
  ]] as const;
  for (const [dtype, bits, size] of bad) {
    for (const at of [0, 63, 64, 64 * 40 + 31, 64 * 50 + 2]) {
      const bytes = new Uint8Array(size * (64 * 50 + 3));
      const view = new DataView(bytes.buffer);
      if (size === 4) view.setUint32(size * at, bits, true);
      else view.setUint16(size * at, bits, true);
      const fill = (into: Uint8Array, first: number) =>
        into.set(bytes.subarray(size * first, size * first + into.length));
      const options = { rows: 1, columns: bytes.length / size, doubleQuantization: true };
      const error = assertThrows(() => quantizeFrom({ dtype, fill }, options), LoraFleetError, "finite");
      const first = at - at % 64;
      const last = Math.min(first + 63, options.columns - 1);
      assertEquals(error.message.includes(`between elements ${first} and ${last} is`), true, error.message);
    }
  }
});

Deno.test("weights in the middle of a larger array", () => {
  const all = Float32Array.from({ length: 200 }, () => prng.normal());
  const options = { rows: 2, columns: 70, doubleQuantization: true };
  assertEquals(quantizeNf4(all.subarray(13, 153), options), quantizeNf4(all.slice(13, 153), options));
});
