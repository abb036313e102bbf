/** A device's buffers: allocated, written and freed. */
import { LoraFleetError } from "../../shared/errors.ts";
import { allocationSize } from "../../shared/memory/buffer_sizes.ts";
import type { GpuTensor } from "./tensor.ts";

/** Of one call that writes; WebGPU copies it. */
const PIECE_BYTES = 4 * 2 ** 20;
/**
 * So much is written between two submits. A driver gives memory for the copies that it had before, if they are small: with 64 MiB it
 * takes new memory from the system each time, which clears it first, and an upload takes four times as long.
 */
const SENT_BYTES = 16 * 2 ** 20;

export class GpuMemory {
  /** The adapter's name as its driver gives it. */
  readonly description: string;
  readonly #device: GPUDevice;
  readonly #buffers = new Set<GPUBuffer>();
  #allocatedBytes = 0;
  /** Written since the last submit of writes. */
  #waitingBytes = 0;

  constructor(device: GPUDevice, description: string) {
    this.#device = device;
    this.description = description;
  }

  /** Bytes of all buffers that are allocated. */
  get allocatedBytes(): number {
    return this.#allocatedBytes;
  }

  /** The largest tensor that one kernel can bind. NVIDIA's driver reports 4 GiB but fails at 2 GiB and above. */
  get maxTensorBytes(): number {
    const { maxStorageBufferBindingSize, maxBufferSize } = this.#device.limits;
    return Math.min(maxStorageBufferBindingSize, maxBufferSize, 2 ** 31 - 256);
  }

  /**
   * Allocates a tensor of zeros; a length that is no multiple of 4 is rounded up.
   * @throws LoraFleetError `does_not_fit` if the device cannot bind that size
   */
  allocate(label: string, byteLength: number): GpuTensor {
    const size = allocationSize(byteLength);
    if (size > this.maxTensorBytes) {
      throw new LoraFleetError(
        "does_not_fit",
        `Allocating "${label}" failed: ${size} bytes, and ${this.description} binds at most ${this.maxTensorBytes}`,
      );
    }
    const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
    const buffer = this.#device.createBuffer({ label, size, usage });
    this.#buffers.add(buffer);
    this.#allocatedBytes += size;
    return { label, buffer, byteOffset: 0, byteLength: size };
  }

  /** Frees whole tensors, as `allocate` returned them; commands that were submitted before still run. */
  free(tensors: readonly GpuTensor[]): void {
    for (const { buffer } of tensors) {
      if (!this.#buffers.delete(buffer)) continue;
      this.#allocatedBytes -= buffer.size;
      buffer.destroy();
    }
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
    const bytes = new Uint8Array(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength);
    // Never without a piece: Deno's writeBuffer ends the process for no bytes.
    for (let at = 0; at < bytes.length; at += PIECE_BYTES) {
      const piece = wholeWords(bytes.subarray(at, at + PIECE_BYTES));
      this.#device.queue.writeBuffer(tensor.buffer, tensor.byteOffset + at, piece);
      this.#waitingBytes += piece.length;
      if (this.#waitingBytes >= SENT_BYTES) this.#sendWrites();
    }
  }

  /** WebGPU keeps a copy of what was written until the next submit: without one, that is all of a base model. */
  #sendWrites(): void {
    this.#device.queue.submit([]);
    this.#waitingBytes = 0;
  }

  freeAll(): void {
    for (const buffer of this.#buffers) buffer.destroy();
    this.#buffers.clear();
    this.#allocatedBytes = 0;
  }
}

/** WebGPU writes whole words only. */
function wholeWords(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  if (bytes.length % 4 === 0) return bytes;
  const padded = new Uint8Array(allocationSize(bytes.length));
  padded.set(bytes);
  return padded;
}
