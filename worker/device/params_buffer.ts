/** The params of all dispatches of one submit, in one uniform buffer: slot i belongs to the ith dispatch. */
import type { ParamType } from "./kernel.ts";

/** WebGPU's `minUniformBufferOffsetAlignment`, at its default, which every device supports. */
const SLOT_BYTES = 256;
const SLOT_COUNT = 4096;

export class ParamsBuffer {
  readonly bindGroup: GPUBindGroup;
  readonly #device: GPUDevice;
  readonly #buffer: GPUBuffer;
  readonly #staging = new DataView(new ArrayBuffer(SLOT_BYTES * SLOT_COUNT));
  #used = 0;

  constructor(device: GPUDevice, layout: GPUBindGroupLayout) {
    this.#device = device;
    this.#buffer = device.createBuffer({
      label: "params",
      size: SLOT_BYTES * SLOT_COUNT,
      usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST,
    });
    this.bindGroup = device.createBindGroup({
      layout,
      entries: [{ binding: 0, resource: { buffer: this.#buffer, size: SLOT_BYTES } }],
    });
  }

  get isFull(): boolean {
    return this.#used === SLOT_COUNT;
  }

  /** Stores one dispatch's params and returns their byte offset in the buffer. */
  add(types: Record<string, ParamType>, values: Readonly<Record<string, number>>): number {
    const offset = this.#used++ * SLOT_BYTES;
    let at = offset;
    for (const name in types) {
      const value = values[name]!;
      const type = types[name];
      if (type === "f32") this.#staging.setFloat32(at, value, true);
      else if (type === "i32") this.#staging.setInt32(at, value, true);
      else this.#staging.setUint32(at, value, true);
      at += 4;
    }
    return offset;
  }

  /** Writes the used slots to the GPU and starts again with the first one. */
  flush(): void {
    if (this.#used > 0) {
      this.#device.queue.writeBuffer(this.#buffer, 0, this.#staging.buffer, 0, this.#used * SLOT_BYTES);
    }
    this.#used = 0;
  }

  close(): void {
    this.#buffer.destroy();
  }
}
