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

Deno.test("a reading of two pieces, twice: every number at its place", async () => {
  const gpu = await testGpu();
  const numbers = Uint32Array.from({ length: 200_001 }, (_, index) => Math.imul(index, 0x9e3779b1) >>> 0);
  // A piece has 64 MiB: the second one begins in the last tensor.
  const tensors = Array.from({ length: 5 }, (_, index) => gpu.allocate(`t${index}`, 14_400_000));
  gpu.write(tensors[0]!, numbers);
  gpu.write(tensors[4]!, new Uint32Array([...new Array(2_300_000).fill(1), ...numbers]));
  for (let round = 0; round < 2; round++) {
    const words = new Uint32Array(new SharedArrayBuffer(5 * 14_400_000));
    await gpu.readInto(tensors, new Uint8Array(words.buffer));
    const at = (tensor: number, from: number, count: number) =>
      words.slice(tensor * 3_600_000 + from, tensor * 3_600_000 + from + count);
    assertEquals(at(0, 0, 200_003), Uint32Array.from([...numbers, 0, 0]));
    assertEquals(at(4, 2_299_999, 200_003), Uint32Array.from([1, ...numbers, 0]));
  }
  gpu.free(tensors);
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
