/** Bind groups, made once for each kernel and set of tensors. */
import type { Kernel } from "./kernel.ts";
import type { GpuTensor } from "./tensor.ts";

export class BindGroups {
  readonly #device: GPUDevice;
  readonly #groups = new Map<string, GPUBindGroup>();
  readonly #bufferIds = new WeakMap<GPUBuffer, number>();
  #nextBufferId = 0;

  constructor(device: GPUDevice) {
    this.#device = device;
  }

  /** The group that binds `tensors` to a kernel's bindings. */
  groupOf(
    kernel: Kernel,
    layout: GPUBindGroupLayout,
    tensors: Readonly<Record<string, GpuTensor>>,
  ): GPUBindGroup {
    const names = Object.keys(kernel.bindings);
    let key = kernel.label;
    for (const name of names) {
      const { buffer, byteOffset, byteLength } = tensors[name]!;
      key += `|${this.#idOf(buffer)}+${byteOffset}:${byteLength}`;
    }
    return this.#groups.getOrInsertComputed(key, () => {
      const entries = names.map((name, binding) => {
        const { buffer, byteOffset: offset, byteLength: size } = tensors[name]!;
        return { binding, resource: { buffer, offset, size } };
      });
      return this.#device.createBindGroup({ label: kernel.label, layout, entries });
    });
  }

  #idOf(buffer: GPUBuffer): number {
    return this.#bufferIds.getOrInsertComputed(buffer, () => this.#nextBufferId++);
  }

  clear(): void {
    this.#groups.clear();
  }
}
