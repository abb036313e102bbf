/** Finds the machine's GPU and opens it with the largest limits that it has. */
import { LoraFleetError } from "../../shared/errors.ts";
import type { Processor } from "./processor.ts";

export interface GpuOptions {
  /** Accept an adapter that computes on the CPU (lavapipe, SwiftShader). */
  readonly allowCpu: boolean;
  /** The time that a submit aims at; left out, 100 ms. */
  readonly submitTargetMs?: number;
}

/** Tensors that a kernel binds at most: attention's backward. WebGPU promises 8; every driver of a graphics card has more. */
export const MOST_TENSORS = 9;

export interface OpenedDevice extends Processor {
  readonly device: GPUDevice;
  /** The adapter's name as its driver gives it. */
  readonly description: string;
}

/**
 * @throws LoraFleetError `no_gpu`; `param` names the adapter if the only one computes on the CPU and `allowCpu` is false;
 * `gpu_failure` if a kernel could not bind its tensors
 */
export async function openDevice({ allowCpu }: GpuOptions): Promise<OpenedDevice> {
  const gpuAdapter = await navigator.gpu.requestAdapter({ powerPreference: "high-performance" });
  if (gpuAdapter === null) {
    throw new LoraFleetError(
      "no_gpu",
      "Opening the GPU failed: WebGPU offers no adapter. Install the GPU's Vulkan driver, " +
        "or Mesa's software driver with `deno task setup` and pass --allow-cpu.",
    );
  }
  const { info, limits } = gpuAdapter;
  const isCpu = info.isFallbackAdapter;
  const description = info.description || `${info.vendor} ${info.device}`;
  if (isCpu && !allowCpu) {
    throw new LoraFleetError(
      "no_gpu",
      `Opening the GPU failed: the only adapter, "${description}", computes on the CPU. ` +
        "Install the GPU's Vulkan driver, or pass --allow-cpu to compute on the CPU anyway.",
      { param: description },
    );
  }
  if (limits.maxStorageBuffersPerShaderStage < MOST_TENSORS) {
    throw new LoraFleetError(
      "gpu_failure",
      `Opening the GPU failed: "${description}" lets a kernel use ${limits.maxStorageBuffersPerShaderStage} buffers, and ` +
        `attention needs ${MOST_TENSORS}. Update the GPU's driver, or choose a different GPU or DENO_WEBGPU_BACKEND.`,
      { param: description },
    );
  }
  if (isCpu) {
    // Deno does not list "subgroups" but has them; kernels use them on CPUs alone, where they double the speed.
    const device = await requestDevice(gpuAdapter, ["subgroups"]).catch(() => null);
    if (device !== null) return { device, description, isCpu, subgroupSize: info.subgroupMinSize };
  }
  return { device: await requestDevice(gpuAdapter, []), description, isCpu, subgroupSize: 0 };
}

/** With the GPU's own clock where it has one: it measures submits. */
function requestDevice(gpuAdapter: GPUAdapter, needed: GPUFeatureName[]): Promise<GPUDevice> {
  const { limits, features } = gpuAdapter;
  return gpuAdapter.requestDevice({
    requiredFeatures: features.has("timestamp-query") ? [...needed, "timestamp-query"] : needed,
    requiredLimits: {
      maxBufferSize: limits.maxBufferSize,
      maxStorageBufferBindingSize: limits.maxStorageBufferBindingSize,
      maxStorageBuffersPerShaderStage: limits.maxStorageBuffersPerShaderStage,
      maxComputeWorkgroupStorageSize: limits.maxComputeWorkgroupStorageSize,
      maxComputeInvocationsPerWorkgroup: limits.maxComputeInvocationsPerWorkgroup,
      maxComputeWorkgroupSizeX: limits.maxComputeWorkgroupSizeX,
    },
  });
}
