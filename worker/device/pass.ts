/**
 * Records dispatches into one compute pass. A dispatch in a pass of its own costs 7–9 µs to encode and one in a submit of
 * its own 90–160 µs, against about 1 µs here. WebGPU orders dispatches of a pass: each sees what those before it wrote.
 *
 * Params go through one uniform buffer at dynamic offsets, written once for each submit, so that bind groups never change
 * and are made once for each set of tensors.
 */
import type { Gpu } from "./gpu.ts";
import type { BindingType, Kernel, ParamType } from "./kernel.ts";
import type { GpuTensor } from "./tensor.ts";

const SLOT_BYTES = 256;
const SLOT_COUNT = 4096;

/** Workgroup counts along x, y and z. */
export type Groups = readonly [x: number, y?: number, z?: number];

interface Layouts {
  readonly pipeline: GPUPipelineLayout;
  readonly bindings: GPUBindGroupLayout;
}

export class Pass {
  /** The device that the pass runs on, for kernels that choose their variant by it. */
  readonly gpu: Gpu;
  readonly #uniforms: GPUBuffer;
  readonly #staging = new ArrayBuffer(SLOT_BYTES * SLOT_COUNT);
  readonly #view = new DataView(this.#staging);
  readonly #uniformLayout: GPUBindGroupLayout;
  readonly #uniformGroup: GPUBindGroup;
  readonly #layouts = new Map<string, Layouts>();
  readonly #groups = new Map<string, GPUBindGroup>();
  readonly #bufferIds = new WeakMap<GPUBuffer, number>();
  #nextBufferId = 0;
  #encoder: GPUCommandEncoder | null = null;
  #pass: GPUComputePassEncoder | null = null;
  #slot = 0;
  /** Dispatches recorded since the GPU was opened, for budgets in tests. */
  dispatchCount = 0;

  constructor(gpu: Gpu) {
    this.gpu = gpu;
    const { device } = gpu;
    this.#uniforms = device.createBuffer({
      label: "params",
      size: SLOT_BYTES * SLOT_COUNT,
      usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST,
    });
    this.#uniformLayout = device.createBindGroupLayout({
      entries: [{
        binding: 0,
        visibility: GPUShaderStage.COMPUTE,
        buffer: { type: "uniform", hasDynamicOffset: true },
      }],
    });
    this.#uniformGroup = device.createBindGroup({
      layout: this.#uniformLayout,
      entries: [{ binding: 0, resource: { buffer: this.#uniforms, size: SLOT_BYTES } }],
    });
  }

  /**
   * Records one dispatch.
   * @throws RangeError where a tensor is larger than the device binds or a workgroup count exceeds its limit
   */
  dispatch<P extends Record<string, ParamType>, B extends Record<string, BindingType>>(
    kernel: Kernel<P, B>,
    call: {
      readonly params: { readonly [K in keyof P]: number };
      readonly tensors: { readonly [K in keyof B]: GpuTensor };
      readonly groups: Groups;
    },
  ): void {
    const [x, y = 1, z = 1] = call.groups;
    const limit = this.gpu.device.limits.maxComputeWorkgroupsPerDimension;
    if (Math.max(x, y, z) > limit) {
      throw new RangeError(
        `${kernel.label}: ${x}×${y}×${z} workgroups, the device takes ${limit} a dimension`,
      );
    }
    if (x * y * z === 0) return;
    if (this.#slot === SLOT_COUNT) this.submit();
    const layouts = this.#layoutsOf(kernel);
    const pipeline = this.gpu.pipelineFor(kernel, layouts.pipeline);
    const group = this.#groupOf(kernel, layouts.bindings, call.tensors);
    const offset = this.#slot++ * SLOT_BYTES;
    this.#writeParams(offset, kernel.params, call.params);
    this.#encoder ??= this.gpu.device.createCommandEncoder();
    this.#pass ??= this.#encoder.beginComputePass();
    this.#pass.setPipeline(pipeline);
    this.#pass.setBindGroup(0, this.#uniformGroup, [offset]);
    this.#pass.setBindGroup(1, group);
    this.#pass.dispatchWorkgroups(x, y, z);
    this.dispatchCount++;
  }

  /** Records a copy between tensors, in order with the dispatches around it. */
  copy(from: GpuTensor, to: GpuTensor, byteLength: number): void {
    this.#encoder ??= this.gpu.device.createCommandEncoder();
    this.#pass?.end();
    this.#pass = null;
    this.#encoder.copyBufferToBuffer(from.buffer, from.byteOffset, to.buffer, to.byteOffset, byteLength);
  }

  /** Records that a tensor is filled with zeros, in order with the dispatches around it. */
  clear(tensor: GpuTensor, byteLength: number = tensor.byteLength): void {
    this.#encoder ??= this.gpu.device.createCommandEncoder();
    this.#pass?.end();
    this.#pass = null;
    this.#encoder.clearBuffer(tensor.buffer, tensor.byteOffset, byteLength);
  }

  /** Hands everything recorded to the GPU. */
  submit(): void {
    if (this.#encoder === null) return;
    this.#pass?.end();
    if (this.#slot > 0) {
      this.gpu.device.queue.writeBuffer(this.#uniforms, 0, this.#staging, 0, this.#slot * SLOT_BYTES);
    }
    this.gpu.device.queue.submit([this.#encoder.finish()]);
    this.#encoder = null;
    this.#pass = null;
    this.#slot = 0;
  }

  close(): void {
    this.#uniforms.destroy();
    this.#groups.clear();
  }

  #writeParams(
    offset: number,
    types: Record<string, ParamType>,
    values: Readonly<Record<string, number>>,
  ): void {
    let at = offset;
    for (const name in types) {
      const value = values[name]!;
      const type = types[name];
      if (type === "f32") this.#view.setFloat32(at, value, true);
      else if (type === "i32") this.#view.setInt32(at, value, true);
      else this.#view.setUint32(at, value, true);
      at += 4;
    }
  }

  #layoutsOf(kernel: Kernel): Layouts {
    const key = Object.values(kernel.bindings).map((binding) => binding.split(" ")[0]).join();
    let layouts = this.#layouts.get(key);
    if (layouts === undefined) {
      const { device } = this.gpu;
      const bindings = device.createBindGroupLayout({
        entries: Object.values(kernel.bindings).map((binding, index) => ({
          binding: index,
          visibility: GPUShaderStage.COMPUTE,
          buffer: { type: binding.startsWith("read ") ? "read-only-storage" : "storage" },
        })),
      });
      const pipeline = device.createPipelineLayout({ bindGroupLayouts: [this.#uniformLayout, bindings] });
      layouts = { pipeline, bindings };
      this.#layouts.set(key, layouts);
    }
    return layouts;
  }

  #groupOf(
    kernel: Kernel,
    layout: GPUBindGroupLayout,
    tensors: Readonly<Record<string, GpuTensor>>,
  ): GPUBindGroup {
    let key = kernel.label;
    for (const name in kernel.bindings) {
      const { buffer, byteOffset, byteLength } = tensors[name]!;
      let id = this.#bufferIds.get(buffer);
      if (id === undefined) this.#bufferIds.set(buffer, id = this.#nextBufferId++);
      key += `|${id}+${byteOffset}:${byteLength}`;
    }
    let group = this.#groups.get(key);
    if (group === undefined) {
      group = this.gpu.device.createBindGroup({
        label: kernel.label,
        layout,
        entries: Object.keys(kernel.bindings).map((name, index) => {
          const { buffer, byteOffset, byteLength } = tensors[name]!;
          return { binding: index, resource: { buffer, offset: byteOffset, size: byteLength } };
        }),
      });
      this.#groups.set(key, group);
    }
    return group;
  }
}
