/**
 * Records dispatches into one compute pass. A dispatch in a pass of its own costs 7–9 µs to encode and one in a submit of
 * its own 90–160 µs, against about 1 µs here. WebGPU orders the dispatches of a pass: each sees the writes of all before it.
 * Params go through one uniform buffer at dynamic offsets, written once per submit, so that bind groups never change.
 *
 * What is recorded is submitted by itself as soon as it is expected to last 100 ms (submits/), so that the GPU works on the first
 * part while the next one is recorded. One dispatch that would last longer is recorded in parts, if its kernel can be divided.
 */
import { BindGroups } from "./bind_groups.ts";
import { type BindingType, type Kernel, type ParamType, PART_PARAMS } from "./kernel.ts";
import { ParamsBuffer } from "./params_buffer.ts";
import type { Pipelines } from "./pipelines.ts";
import type { Processor } from "./processor.ts";
import { type GridPart, gridParts, type WholeGroups } from "./submits/grid_parts.ts";
import { Submits } from "./submits/submits.ts";
import type { GpuTensor, Tensors } from "./tensor.ts";

/** Workgroup counts along x, y and z. */
export type Groups = readonly [x: number, y?: number, z?: number];

/**
 * The time of an element of a kernel that states no work, in floating-point operations of the same time: such kernels wait for
 * memory, 8 to 12 bytes an element, while a GPU computes 10 to 20 operations a byte.
 */
const FLOPS_OF_ELEMENT = 128;
const ELEMENTS_OF_GROUP = 256;

export class Pass {
  /** Kernels choose their variants by it. */
  readonly processor: Processor;
  readonly submits: Submits;
  readonly #device: GPUDevice;
  readonly #pipelines: Pipelines;
  readonly #params: ParamsBuffer;
  readonly #bindGroups: BindGroups;
  /** What a rehearsal has dispatched so far; null: this is none. */
  #rehearsed: Set<Kernel> | null = null;
  #encoder: GPUCommandEncoder | null = null;
  #pass: GPUComputePassEncoder | null = null;

  /** @param submitTargetMs the time that a submit aims at; left out, 100 ms */
  constructor(device: GPUDevice, pipelines: Pipelines, processor: Processor, submitTargetMs?: number) {
    this.processor = processor;
    this.#device = device;
    this.#pipelines = pipelines;
    this.#params = new ParamsBuffer(device, pipelines.paramsLayout);
    this.#bindGroups = new BindGroups(device);
    const { isCpu } = processor;
    this.submits = new Submits(
      device,
      submitTargetMs === undefined ? { isCpu } : { isCpu, targetMs: submitTargetMs },
    );
  }

  /**
   * Records one dispatch.
   * @param args params and tensors by name; other properties are ignored
   * @param flops floating-point operations, by which the time of the submit is told; left out for a kernel that waits for memory
   * @throws RangeError if a workgroup count of a kernel that cannot be divided exceeds the device's limit
   */
  dispatch<P extends Record<string, ParamType>, B extends Record<string, BindingType>>(
    kernel: Kernel<P, B>,
    args: { readonly [Name in keyof P]: number } & Tensors<keyof B>,
    [x, y = 1, z = 1]: Groups,
    flops: number = x * y * z * ELEMENTS_OF_GROUP * FLOPS_OF_ELEMENT,
  ): void {
    if (x * y * z === 0) return;
    const parts = this.#partsOf(kernel, [x, y, z], flops);
    if (this.#rehearsed !== null) return void this.#rehearsed.add(kernel);
    for (const part of parts) this.#dispatchPart(kernel, args, part, flops * part.share);
  }

  #partsOf(kernel: Kernel, groups: WholeGroups, flops: number): readonly GridPart[] {
    const limit = this.#device.limits.maxComputeWorkgroupsPerDimension;
    if (kernel.isDivisible) return gridParts(groups, this.submits.piecesOf(kernel.label, flops), limit);
    if (Math.max(...groups) <= limit) return [{ firstX: 0, firstY: 0, groups, share: 1 }];
    throw new RangeError(
      `dispatching ${kernel.label}: ${groups.join("×")} workgroups, the device takes ${limit} per dimension`,
    );
  }

  #dispatchPart(
    kernel: Kernel,
    args: Readonly<Record<string, number>> & Tensors<string>,
    { firstX: firstGroupX, firstY: firstGroupY, groups }: GridPart,
    flops: number,
  ): void {
    if (this.#params.isFull || this.submits.isDue(kernel.label, flops)) this.submit();
    const layout = this.#pipelines.layoutOf(kernel).bindings;
    const pipeline = this.#pipelines.pipelineOf(kernel);
    const group = this.#bindGroups.groupOf(kernel, layout, args);
    const offset = kernel.isDivisible
      ? this.#params.add({ ...kernel.params, ...PART_PARAMS }, { ...args, firstGroupX, firstGroupY })
      : this.#params.add(kernel.params, args);
    this.#pass ??= this.#begun().beginComputePass();
    this.#pass.setPipeline(pipeline);
    this.#pass.setBindGroup(0, this.#params.bindGroup, [offset]);
    this.#pass.setBindGroup(1, group);
    this.#pass.dispatchWorkgroups(...groups);
    this.submits.add(kernel.label, flops);
  }

  /** Records a copy between tensors, in order with the dispatches around it. */
  copy(from: GpuTensor, to: GpuTensor, byteLength: number): void {
    if (this.#rehearsed !== null) return;
    this.#betweenPasses()
      .copyBufferToBuffer(from.buffer, from.byteOffset, to.buffer, to.byteOffset, byteLength);
  }

  /** Records the filling of a tensor with zeros, in order with the dispatches around it. */
  clear(tensor: GpuTensor, byteLength: number = tensor.byteLength): void {
    if (this.#rehearsed !== null) return;
    this.#betweenPasses().clearBuffer(tensor.buffer, tensor.byteOffset, byteLength);
  }

  /** The kernels that `record` dispatches; nothing is recorded. */
  async rehearse(record: () => Promise<void>): Promise<ReadonlySet<Kernel>> {
    const kernels = this.#rehearsed = new Set<Kernel>();
    try {
      await record();
      return kernels;
    } finally {
      this.#rehearsed = null;
    }
  }

  get isRehearsing(): boolean {
    return this.#rehearsed !== null;
  }

  /** Submits everything recorded. */
  submit(): void {
    if (this.#encoder === null) return;
    const encoder = this.#betweenPasses();
    this.submits.end(encoder);
    this.#params.flush();
    this.#device.queue.submit([encoder.finish()]);
    this.#encoder = null;
  }

  close(): void {
    this.#params.close();
    this.#bindGroups.clear();
    this.submits.close();
  }

  /** The encoder with its compute pass ended, because copies and clears are not allowed inside one. */
  #betweenPasses(): GPUCommandEncoder {
    this.#pass?.end();
    this.#pass = null;
    return this.#begun();
  }

  #begun(): GPUCommandEncoder {
    if (this.#encoder === null) {
      this.#encoder = this.#device.createCommandEncoder();
      this.submits.begin(this.#encoder);
    }
    return this.#encoder;
  }
}
