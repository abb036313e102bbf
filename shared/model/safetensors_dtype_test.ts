import { assertEquals } from "@std/assert";
import { bytesOf as sizeOf, isDtype, orderOf, toFloat32 } from "./safetensors_dtype.ts";

/** Bytes at an odd address, where a tensor behind a header may start. */
function unaligned(source: Uint8Array): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(source.length + 1);
  bytes.set(source, 1);
  return bytes.subarray(1);
}

const bytesOf = (values: { readonly buffer: ArrayBufferLike }) => new Uint8Array(values.buffer);

Deno.test("floating-point types become f32", () => {
  const values = [0, -0, 1, -1.5, 65504, 2 ** -24, Infinity, -Infinity, NaN];
  assertEquals(toFloat32("F16", unaligned(bytesOf(new Float16Array(values)))), Float32Array.from(values));
  assertEquals(toFloat32("F32", unaligned(bytesOf(new Float32Array(values)))), Float32Array.from(values));
  assertEquals(
    toFloat32("F64", unaligned(bytesOf(new Float64Array([0.1, 1e300])))),
    Float32Array.of(0.1, Infinity),
  );
  const bfloats = Uint16Array.of(0x3f80, 0xc049, 0x7f80, 0x0001, 0x8000);
  assertEquals(
    toFloat32("BF16", unaligned(bytesOf(bfloats))),
    Float32Array.of(1, -3.140625, Infinity, 2 ** -133, -0),
  );
});

Deno.test("other types are not converted to f32", () => {
  for (const dtype of ["U8", "I32", "BOOL", "F8_E4M3", "F8_E8M0", "C64"] as const) {
    assertEquals(toFloat32(dtype, new Uint8Array(8)), null);
  }
});

Deno.test("types have sizes and an order; unknown names are recognised", () => {
  assertEquals([sizeOf("BF16", 1), sizeOf("I64", 2), orderOf("BOOL")], [2, 16, 0]);
  assertEquals([sizeOf("F4", 2), sizeOf("F4", 3), sizeOf("F6_E2M3", 4)], [1, 1.5, 3]);
  assertEquals(["F32", "f32", "toString", 3, null].map(isDtype), [true, false, false, false, false]);
});
