import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { LoraFleetError } from "../../shared/errors.ts";
import { testGpu } from "./testing/test_gpu.ts";
import { defineKernel } from "./kernel.ts";
import { sliceTensor } from "./tensor.ts";

const main = (body: string) => `@compute @workgroup_size(1) fn main() { ${body} }`;

Deno.test("a kernel that does not compile is an error that names it", async () => {
  const gpu = await testGpu();
  const broken = defineKernel({
    label: "broken",
    source: main("y[0] = nothing;"),
    params: { n: "u32" },
    bindings: { y: "read_write f32" },
  });
  const y = gpu.allocate("y", 4);
  gpu.pass.dispatch(broken, { n: 1, y }, [1]);
  await assertRejects(() => gpu.read(y), LoraFleetError, "broken");
});

Deno.test("binding a tensor to read and to write in one dispatch is an error, not a silent no-op", async () => {
  const gpu = await testGpu();
  const copy = defineKernel({
    label: "copy in place",
    source: main("y[0] = x[0];"),
    params: { n: "u32" },
    bindings: { x: "read f32", y: "read_write f32" },
  });
  const x = gpu.allocate("x", 4);
  await assertRejects(
    () => {
      gpu.pass.dispatch(copy, { n: 1, x, y: x }, [1]);
      return gpu.read(x);
    },
    LoraFleetError,
  );
});

Deno.test("more dispatches than one submit's params hold run in order", async () => {
  const gpu = await testGpu();
  const increment = defineKernel({
    label: "increment",
    source: main("y[0] = y[0] * 3u + params.n;"),
    params: { n: "u32" },
    bindings: { y: "read_write u32" },
  });
  const y = gpu.upload("y", new Uint32Array([0]));
  let expected = 0;
  for (let n = 0; n < 5000; n++) {
    gpu.pass.dispatch(increment, { n, y }, [1]);
    expected = (Math.imul(expected, 3) + n) >>> 0;
  }
  assertEquals(new Uint32Array(await gpu.read(y))[0], expected);
});

Deno.test("writes and reads round-trip odd lengths; slices stay inside", async () => {
  const gpu = await testGpu();
  const tensor = gpu.upload("odd", new Uint8Array([1, 2, 3, 4, 5]));
  assertEquals([...new Uint8Array(await gpu.read(tensor))], [1, 2, 3, 4, 5, 0, 0, 0]);
  assertThrows(() => sliceTensor(tensor, "part", 256, 4), RangeError, 'tensor "odd"');
});

Deno.test("writing nothing, clearing nothing and copying nothing change nothing", async () => {
  const gpu = await testGpu();
  const x = gpu.upload("x", Uint32Array.of(7));
  const y = gpu.upload("y", Uint32Array.of(8));
  gpu.write(x, new Uint32Array(0));
  gpu.pass.clear(x, 0);
  gpu.pass.copy(y, x, 0);
  assertEquals(new Uint32Array(await gpu.read(x)), Uint32Array.of(7));
});
