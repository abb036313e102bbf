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
    const key = accesses.join();
    let layout = this.#layouts.get(key);
    if (layout === undefined) {
      const bindings = this.#device.createBindGroupLayout({
        entries: accesses.map((access, binding) => ({
          binding,
          visibility: GPUShaderStage.COMPUTE,
          buffer: { type: access === "read" ? "read-only-storage" : "storage" },
        })),
      });
      const bindGroupLayouts = [this.paramsLayout, bindings];
      layout = { pipeline: this.#device.createPipelineLayout({ bindGroupLayouts }), bindings };
      this.#layouts.set(key, layout);
    }
    return layout;
  }

  /** The compiled kernel; compiled once per label. */
  pipelineOf(kernel: Kernel): GPUComputePipeline {
    const { label } = kernel;
    let pipeline = this.#pipelines.get(label);
    if (pipeline === undefined) {
      const module = this.#device.createShaderModule({ label, code: kernel.wgsl });
      const layout = this.layoutOf(kernel).pipeline;
      pipeline = this.#device.createComputePipeline({
        label,
        layout,
        compute: { module, entryPoint: "main" },
      });
      this.#pipelines.set(label, pipeline);
    }
    return pipeline;
  }

  /** Drops all compiled kernels, so that one that failed to compile is not taken for one that works. */
  forget(): void {
    this.#pipelines.clear();
  }
}
