import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { LoraFleetError } from "../../shared/errors.ts";
import { GpuReset } from "./error_scopes.ts";
import { Gpu } from "./gpu.ts";
import { defineKernel } from "./kernel.ts";
import { losingDevice } from "./testing/losing_device.ts";

const increment = defineKernel({
  label: "increment",
  source: "@compute @workgroup_size(1) fn main() { y[0] = y[0] + params.n; }",
  params: { n: "u32" },
  bindings: { y: "read_write u32" },
});

for (const submit of [1, 2, 4]) {
  Deno.test(`a device that is lost at its submit ${submit} is a reset that says so, from the next read on`, async () => {
    const losing = losingDevice({ loseAtSubmit: submit });
    const gpu = await Gpu.open({ allowCpu: true }, losing.open);
    const y = gpu.allocate("sum", 4);
    let reads = 0;
    const error = await assertRejects(async () => {
      for (; reads < 10; reads++) {
        gpu.pass.dispatch(increment, { n: 1, y }, [1]);
        await gpu.read(y);
      }
    }, GpuReset);
    assert(reads <= submit);
    assertEquals(error.code, "gpu_failure");
    assertStringIncludes(error.message, 'Computing "sum" failed on');
    assertStringIncludes(error.message, "the device was lost");
    await assertRejects(() => gpu.read(y), GpuReset, "the device was lost");
    gpu.close();
  });
}

Deno.test("a submit that the driver refuses is a reset; a kernel that does not compile is none", async () => {
  const refusing = losingDevice({ failAtSubmit: 1 });
  const gpu = await Gpu.open({ allowCpu: true }, refusing.open);
  const y = gpu.allocate("sum", 4);
  gpu.pass.dispatch(increment, { n: 1, y }, [1]);
  const reset = await assertRejects(() => gpu.read(y), GpuReset);
  assertStringIncludes(reset.message, "the driver gives up");
  const broken = defineKernel({ ...increment, label: "broken", source: "@compute fn main() { nothing }" });
  gpu.pass.dispatch(broken, { n: 1, y }, [1]);
  const error = await assertRejects(() => gpu.read(y), LoraFleetError, "broken");
  assertEquals(error instanceof GpuReset, false);
  gpu.close();
});

Deno.test("while a GPU computes, its loss is looked for, by what was measured: an unknown GPU is waited for at once", async () => {
  const losing = losingDevice({ isCpu: false, loseAtSubmit: 14 });
  const gpu = await Gpu.open({ allowCpu: true }, losing.open);
  const y = gpu.allocate("sum", 4);
  const secondsOf = async (compute: () => Promise<unknown>) => {
    const startedAt = performance.now();
    await compute();
    return (performance.now() - startedAt) / 1000;
  };
  // A second at the speed of an unknown GPU.
  const first = await secondsOf(() => {
    for (let n = 0; n < 4; n++) gpu.pass.dispatch(increment, { n, y }, [1], 5e10);
    return gpu.read(y);
  });
  assert(first < 0.7, `${first} s`);
  // Many seconds by what was measured, in four submits and one after each 20 ms that looks.
  const second = await secondsOf(() => {
    for (let n = 0; n < 4; n++) gpu.pass.dispatch(increment, { n, y }, [1], 5e15);
    return assertRejects(() => gpu.read(y), GpuReset);
  });
  assert(second < 0.9, `${second} s`);
  gpu.close();
});
