/**
 * One GPU: its device, its memory and its pipelines. Nothing outside this folder calls WebGPU.
 *
 * Memory is allocated once, before the first step, and freed by `close`: Deno does not return GPU memory in time when
 * it is left to the garbage collector.
 */
import { LoraFleetError } from "../../shared/errors.ts";
import type { Kernel } from "./kernel.ts";
import type { GpuTensor } from "./tensor.ts";
import { Pass } from "./pass.ts";

export interface GpuOptions {
  /** Accept an adapter that computes on the CPU (lavapipe, SwiftShader). */
  readonly allowCpu: boolean;
}

/** A device with the largest limits that the adapter has. */
function requestDevice(gpuAdapter: GPUAdapter, requiredFeatures: GPUFeatureName[]): Promise<GPUDevice> {
  const { limits } = gpuAdapter;
  return gpuAdapter.requestDevice({
    requiredFeatures,
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

/** Bytes that a tensor of `byteLength` takes: whole words, and at least one, because an empty buffer cannot be bound. */
export function allocationSize(byteLength: number): number {
  return Math.max(4, Math.ceil(byteLength / 4) * 4);
}

export class Gpu {
  readonly device: GPUDevice;
  /** The adapter's name as its driver gives it. */
  readonly description: string;
  readonly isCpu: boolean;
  /** Lanes of the smallest subgroup, 0 where kernels cannot use subgroups. */
  readonly subgroupSize: number;
  #allocatedBytes = 0;
  readonly #buffers: GPUBuffer[] = [];
  readonly #pipelines = new Map<string, GPUComputePipeline>();
  readonly #pass: Pass;
  #lost: string | null = null;

  private constructor(device: GPUDevice, description: string, isCpu: boolean, subgroupSize: number) {
    this.device = device;
    this.description = description;
    this.isCpu = isCpu;
    this.subgroupSize = subgroupSize;
    device.lost.then((info) => this.#lost = info.message || info.reason);
    this.#openErrorScopes();
    this.#pass = new Pass(this);
  }

  /**
   * Opens the GPU with the largest limits that it has.
   * @throws LoraFleetError `no_gpu` where there is none, or none but the CPU (`param` is its name) and `allowCpu` is false
   */
  static async open(options: GpuOptions): Promise<Gpu> {
    const gpuAdapter = await navigator.gpu.requestAdapter({ powerPreference: "high-performance" });
    if (gpuAdapter === null) {
      throw new LoraFleetError(
        "no_gpu",
        "Opening the GPU failed: WebGPU offers no adapter. Install the GPU's Vulkan driver, " +
          "or Mesa's software driver with `deno task setup` and pass --allow-cpu.",
      );
    }
    const { info } = gpuAdapter;
    const description = info.description || `${info.vendor} ${info.device}`;
    if (info.isFallbackAdapter && !options.allowCpu) {
      throw new LoraFleetError(
        "no_gpu",
        `Opening the GPU failed: the only adapter, "${description}", computes on the CPU. ` +
          "Install the GPU's Vulkan driver, or pass --allow-cpu to compute on the CPU all the same.",
        { param: description },
      );
    }
    if (info.isFallbackAdapter) {
      // Deno does not list "subgroups" but has them; kernels ask for them on CPUs alone, where they double the speed.
      const device = await requestDevice(gpuAdapter, ["subgroups"]).catch(() => null);
      if (device !== null) return new Gpu(device, description, true, info.subgroupMinSize);
    }
    return new Gpu(await requestDevice(gpuAdapter, []), description, info.isFallbackAdapter, 0);
  }

  /** Bytes of all buffers that were allocated. */
  get allocatedBytes(): number {
    return this.#allocatedBytes;
  }

  /** The largest tensor that one kernel can bind. NVIDIA's driver reports 4 GiB but fails at 2 GiB and above. */
  get maxTensorBytes(): number {
    const { maxStorageBufferBindingSize, maxBufferSize } = this.device.limits;
    return Math.min(maxStorageBufferBindingSize, maxBufferSize, 2 ** 31 - 256);
  }

  /**
   * Allocates a tensor, filled with zeros. A length that is no multiple of 4 is rounded up.
   * @throws LoraFleetError `does_not_fit` where the device refuses the size
   */
  allocate(label: string, byteLength: number): GpuTensor {
    const size = allocationSize(byteLength);
    if (size > this.maxTensorBytes) {
      throw new LoraFleetError(
        "does_not_fit",
        `Allocating "${label}" failed: ${size} bytes, and ${this.description} binds at most ${this.maxTensorBytes}.`,
      );
    }
    const buffer = this.device.createBuffer({
      label,
      size,
      usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST,
    });
    this.#buffers.push(buffer);
    this.#allocatedBytes += size;
    return { label, buffer, byteOffset: 0, byteLength: size };
  }

  /** Allocates a tensor that holds `data`. */
  upload(label: string, data: ArrayBufferView): GpuTensor {
    const tensor = this.allocate(label, data.byteLength);
    this.write(tensor, data);
    return tensor;
  }

  /** Copies `data` to the start of a tensor. */
  write(tensor: GpuTensor, data: ArrayBufferView): void {
    if (data.byteLength > tensor.byteLength) {
      throw new RangeError(
        `writing ${data.byteLength} bytes to "${tensor.label}", which has ${tensor.byteLength}`,
      );
    }
    if (data.byteLength === 0) return; // Deno's writeBuffer ends the process
    let bytes = new Uint8Array(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength);
    if (bytes.length % 4 !== 0) { // WebGPU writes whole words only
      const padded = new Uint8Array(Math.ceil(bytes.length / 4) * 4);
      padded.set(bytes);
      bytes = padded;
    }
    this.device.queue.writeBuffer(tensor.buffer, tensor.byteOffset, bytes);
  }

  /** The recorder of dispatches; kernels run in the order in which they were recorded, after `submit`. */
  get pass(): Pass {
    return this.#pass;
  }

  /** Submits what was recorded, without waiting for it. */
  submit(): void {
    this.#pass.submit();
  }

  /**
   * Submits what was recorded, waits for it and copies a tensor back. Blocks the calling thread while the GPU works.
   * @throws LoraFleetError `gpu_failure` where any command since the last read failed
   */
  async read(tensor: GpuTensor, byteLength: number = tensor.byteLength): Promise<ArrayBuffer> {
    const [bytes] = await this.readAll([{ ...tensor, byteLength }]);
    return bytes!;
  }

  /** Reads several tensors with one wait: Deno sleeps 10 ms for each. */
  async readAll(tensors: readonly GpuTensor[]): Promise<ArrayBuffer[]> {
    this.#pass.submit();
    const labels = tensors.map(({ label }) => label).join(", ");
    const size = tensors.reduce((total, { byteLength }) => total + byteLength, 0);
    const staging = this.device.createBuffer({
      label: `staging for ${labels}`,
      size,
      usage: GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ,
    });
    try {
      const encoder = this.device.createCommandEncoder();
      let at = 0;
      for (const { buffer, byteOffset, byteLength } of tensors) {
        encoder.copyBufferToBuffer(buffer, byteOffset, staging, at, byteLength);
        at += byteLength;
      }
      this.device.queue.submit([encoder.finish()]);
      await this.throwIfFailed(`Computing "${labels}"`);
      await staging.mapAsync(GPUMapMode.READ);
      const mapped = staging.getMappedRange();
      at = 0;
      return tensors.map(({ byteLength }) => mapped.slice(at, at += byteLength));
    } finally {
      staging.destroy();
    }
  }

  /** The compiled form of a kernel; compiled once for each label. */
  pipelineFor(kernel: Kernel, layout: GPUPipelineLayout): GPUComputePipeline {
    let pipeline = this.#pipelines.get(kernel.label);
    if (pipeline === undefined) {
      const module = this.device.createShaderModule({ label: kernel.label, code: kernel.wgsl });
      pipeline = this.device.createComputePipeline({
        label: kernel.label,
        layout,
        compute: { module, entryPoint: "main" },
      });
      this.#pipelines.set(kernel.label, pipeline);
    }
    return pipeline;
  }

  /**
   * Throws the first error since the last call. WebGPU reports errors aside and goes on: without this, a kernel that
   * failed leaves what an earlier one computed.
   * @throws LoraFleetError `does_not_fit` where memory ran out, else `gpu_failure`
   */
  async throwIfFailed(attempt: string): Promise<void> {
    const [internal, validation, memory] = await Promise.all([
      this.device.popErrorScope(),
      this.device.popErrorScope(),
      this.device.popErrorScope(),
    ]);
    this.#openErrorScopes();
    const failure = memory ?? validation ?? internal;
    if (failure === null && this.#lost === null) return;
    this.#pipelines.clear(); // a pipeline that failed to compile must not be taken for one that works
    throw new LoraFleetError(
      memory === null ? "gpu_failure" : "does_not_fit",
      `${attempt} failed on ${this.description}: ${failure?.message ?? `the device was lost: ${this.#lost}`}`,
    );
  }

  #openErrorScopes(): void {
    this.device.pushErrorScope("out-of-memory");
    this.device.pushErrorScope("validation");
    this.device.pushErrorScope("internal");
  }

  /** Frees all memory. */
  close(): void {
    for (const buffer of this.#buffers) buffer.destroy();
    this.#pass.close();
    this.device.destroy();
  }
}
