/** Opens the GPU when a process starts; falls back to the CPU only on request. */
import { LoraFleetError } from "../../shared/errors.ts";
import {
  CONTAINER_GPU_FIX,
  findGpuHardware,
  isGpuContainer,
  problemInContainer,
  refuseIdleGpu,
} from "../../shared/gpu_hardware.ts";
import { Gpu } from "./gpu.ts";
import type { GpuOptions } from "./open_device.ts";
import { provideRuntimeFolder } from "./runtime_folder.ts";

/**
 * @param options.ignoreGpu compute on the CPU although the machine has a GPU without a driver
 * @throws LoraFleetError `no_gpu`; for a GPU without its driver, the message explains how to install it
 */
export async function openFirstGpu(
  { allowCpu, ignoreGpu }: GpuOptions & { readonly ignoreGpu: boolean },
): Promise<Gpu> {
  const environment = (name: string) => Deno.env.get(name);
  const refuse = (adapter: string | null) =>
    refuseIdleGpu(adapter, ignoreGpu ? [] : findGpuHardware(), environment);
  provideRuntimeFolder();
  let gpu: Gpu;
  try {
    gpu = await Gpu.open({ allowCpu });
  } catch (thrown) {
    if (!(thrown instanceof LoraFleetError) || thrown.code !== "no_gpu") throw thrown;
    const { param: adapter } = thrown;
    refuse(adapter);
    if (!isGpuContainer(environment)) throw thrown;
    const message = `Opening the GPU failed: ${
      problemInContainer(adapter)
    }. To use one, ${CONTAINER_GPU_FIX}`;
    throw new LoraFleetError("no_gpu", message);
  }
  try {
    if (gpu.isCpu) refuse(gpu.description);
  } catch (thrown) {
    gpu.close();
    throw thrown;
  }
  return gpu;
}
