import { assertEquals } from "@std/assert";
import { toFloat32 } from "../../model/safetensors_dtype.ts";
import { type MergedDtype, ROUNDINGS } from "./round.ts";

/** Values as `tensor.to(dtype).float()` of torch gives them. */
const ROUNDED: Readonly<Record<MergedDtype, readonly (readonly [number, number])[]>> = {
  bfloat16: [[1.00390625, 1], [1.01171875, 1.015625], [0.1, 0.10009765625], [-3.14159274, -3.140625], [
    -0,
    -0,
  ]],
  float16: [[1.00048828125, 1], [1.00146484375, 1.001953125], [0.1, 0.0999755859375], [65519, 65504], [
    6e-8,
    5.960464477539063e-8,
  ]],
  float32: [[0.10000000149011612, 0.10000000149011612]],
};

for (const [dtype, cases] of Object.entries(ROUNDED)) {
  Deno.test(`rounding to ${dtype} goes to the nearest, ties to even`, () => {
    const rounding = ROUNDINGS[dtype as MergedDtype];
    const bytes = rounding.round(Float32Array.from(cases, ([value]) => value));
    assertEquals(bytes.length, cases.length * rounding.bytes);
    assertEquals([...toFloat32(rounding.dtype, bytes.slice())!], cases.map(([, value]) => value));
  });
}
