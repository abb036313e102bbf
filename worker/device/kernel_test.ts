import { assertEquals, assertNotEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { defineKernel, kernelVariants } from "./kernel.ts";

const kernelOf = (source: string, constants = {}) =>
  defineKernel({
    label: "sum",
    source,
    params: { count: "u32", scale: "f32" },
    bindings: { x: "read vec4<f32>", y: "read_write f32" },
    constants,
  });

Deno.test("params and bindings become WGSL declarations in their order", () => {
  const { label, wgsl } = kernelOf("fn body() {}");
  assertEquals(label, "sum");
  assertStringIncludes(wgsl, "struct Params {\n  count: u32,\n  scale: f32,\n}");
  assertStringIncludes(wgsl, "@group(1) @binding(0) var<storage, read> x: array<vec4<f32>>;");
  assertStringIncludes(wgsl, "@group(1) @binding(1) var<storage, read_write> y: array<f32>;");
});

Deno.test("constants become typed WGSL consts, template variables and a part of the label", () => {
  const { label, wgsl } = kernelOf("//! if ADD\nvar part_$ROWS;\n//! end", { ROWS: 4, HALF: 0.5, ADD: true });
  assertEquals(label, "sum[ROWS=4,HALF=0.5,ADD=true]");
  for (
    const line of ["const ROWS: u32 = 4;", "const HALF: f32 = 0.5;", "const ADD: bool = true;", "var part_4;"]
  ) {
    assertStringIncludes(wgsl, line);
  }
});

Deno.test("a kernel that takes group_of has the part's first workgroup behind its params, and may not ask for num_workgroups", () => {
  const divided = kernelOf("fn body(part: vec3u) { let group = group_of(part); }");
  assertEquals([divided.isDivisible, kernelOf("").isDivisible], [true, false]);
  assertStringIncludes(divided.wgsl, "  scale: f32,\n  firstGroupX: u32,\n  firstGroupY: u32,\n}");
  assertEquals(Object.keys(divided.params), ["count", "scale"]);
  assertThrows(
    () => kernelOf("@builtin(num_workgroups) groups: vec3u; group_of(part)"),
    RangeError,
    'kernel "sum" takes group_of, and num_workgroups',
  );
});

Deno.test("each variant is built once", () => {
  const variantOf = kernelVariants((constants) => kernelOf("", constants));
  assertEquals(variantOf({ ROWS: 1 }) === variantOf({ ROWS: 1 }), true);
  assertNotEquals(variantOf({ ROWS: 1 }), variantOf({ ROWS: 2 }));
});
