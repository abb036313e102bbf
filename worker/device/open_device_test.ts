import { assert, assertEquals, assertRejects } from "@std/assert";
import { LoraFleetError } from "../../shared/errors.ts";
import { attentionKernels } from "../kernels/attention/attention_kernels.ts";
import { MOST_TENSORS, openDevice } from "./open_device.ts";

/** Opens a device while `navigator.gpu` offers an adapter that binds so many buffers. */
async function openWith(maxStorageBuffersPerShaderStage: number) {
  const device = {};
  const adapter = {
    info: { description: "Small GPU", isFallbackAdapter: false },
    limits: { maxStorageBuffersPerShaderStage },
    features: new Set<string>(),
    requestDevice: () => Promise.resolve(device),
  };
  const real = Object.getOwnPropertyDescriptor(navigator, "gpu");
  const gpu = { requestAdapter: () => Promise.resolve(adapter) };
  Object.defineProperty(navigator, "gpu", { value: gpu, configurable: true });
  try {
    return await openDevice({ allowCpu: false });
  } finally {
    if (real === undefined) delete (navigator as unknown as Record<string, unknown>)["gpu"];
    else Object.defineProperty(navigator, "gpu", real);
  }
}

Deno.test("a GPU that binds too few buffers for attention is refused by its name, before a base model is loaded", async () => {
  const error = await assertRejects(
    () => openWith(8),
    LoraFleetError,
    'Opening the GPU failed: "Small GPU" lets a kernel use 8 buffers, and attention needs 9',
  );
  assertEquals([error.code, error.param], ["gpu_failure", "Small GPU"]);
  assertEquals((await openWith(MOST_TENSORS)).description, "Small GPU");
});

Deno.test("attention's backward binds as many tensors as are asked for", () => {
  const { dq, dkv } = attentionKernels(64, "tiles", null);
  assertEquals(Math.max(...[dq, dkv].map(({ bindings }) => Object.keys(bindings).length)), MOST_TENSORS);
  assert(MOST_TENSORS > 8);
});
