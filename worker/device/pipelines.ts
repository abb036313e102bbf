/** Compiled kernels and the layouts that they share. */
import type { Kernel } from "./kernel.ts";

interface KernelLayout {
  readonly pipeline: GPUPipelineLayout;
  /** Group 1: the kernel's tensors. Group 0 holds its params. */
  readonly bindings: GPUBindGroupLayout;
}

export class Pipelines {
  /** Group 0 of every kernel: its params at a dynamic offset. */
  readonly paramsLayout: GPUBindGroupLayout;
  readonly #device: GPUDevice;
  readonly #layouts = new Map<string, KernelLayout>();
  readonly #pipelines = new Map<string, GPUComputePipeline>();

  constructor(device: GPUDevice) {
    this.#device = device;
    this.paramsLayout = device.createBindGroupLayout({
      entries: [{
        binding: 0,
        visibility: GPUShaderStage.COMPUTE,
        buffer: { type: "uniform", hasDynamicOffset: true },
      }],
    });
  }

  /** The layout of a kernel; kernels whose bindings have the same accesses share one. */
  layoutOf(kernel: Kernel): KernelLayout {
    const accesses = Object.values(kernel.bindings).map((binding) => binding.split(" ")[0]);
    return this.#layouts.getOrInsertComputed(accesses.join(), () => {
      const bindings = this.#device.createBindGroupLayout({
        entries: accesses.map((access, binding) => ({
          binding,
          visibility: GPUShaderStage.COMPUTE,
          buffer: { type: access === "read" ? "read-only-storage" : "storage" },
        })),
      });
      const bindGroupLayouts = [this.paramsLayout, bindings];
      return { pipeline: this.#device.createPipelineLayout({ bindGroupLayouts }), bindings };
    });
  }

  /** The compiled kernel; compiled once per label. */
  pipelineOf(kernel: Kernel): GPUComputePipeline {
    const { label } = kernel;
    return this.#pipelines.getOrInsertComputed(label, () => {
      const module = this.#device.createShaderModule({ label, code: kernel.wgsl });
      const layout = this.layoutOf(kernel).pipeline;
      return this.#device.createComputePipeline({ label, layout, compute: { module, entryPoint: "main" } });
    });
  }

  /** Drops all compiled kernels, so that one that failed to compile is never reused. */
  forget(): void {
    this.#pipelines.clear();
  }
}
