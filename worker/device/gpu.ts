/**
 * One GPU: its memory, its kernels and what it reports. Nothing outside this folder calls WebGPU.
 *
 * Memory is allocated once, before the first step, and freed by `close`: left to the garbage collector, Deno does not
 * return GPU memory in time.
 */
import { LoraFleetError } from "../../shared/errors.ts";
import { ErrorScopes } from "./error_scopes.ts";
import { type GpuOptions, openDevice, type OpenedDevice } from "./open_device.ts";
import { Pass } from "./pass.ts";
import { Pipelines } from "./pipelines.ts";
import { allocationSize } from "../../shared/memory/buffer_sizes.ts";
import { inPieces, type ReadbackParts, withMapped } from "./readback.ts";
import type { GpuTensor } from "./tensor.ts";

/** Of one call that writes; WebGPU copies it. */
const PIECE_BYTES = 64 * 2 ** 20;
/** Of one wait for a reading; it exists twice for a moment. */
const READ_BYTES = 256 * 2 ** 20;

export class Gpu {
  /** The adapter's name as its driver gives it. */
  readonly description: string;
  readonly isCpu: boolean;
  /** Lanes of the smallest subgroup; 0 if kernels cannot use subgroups. */
  readonly subgroupSize: number;
  /** Records dispatches; kernels run in the order of their recording, after `submit`. */
  readonly pass: Pass;
  readonly #device: GPUDevice;
  readonly #errors: ErrorScopes;
  readonly #pipelines: Pipelines;
  readonly #buffers = new Set<GPUBuffer>();
  #allocatedBytes = 0;
  /** Written since the last submit of writes. */
  #waitingBytes = 0;

  private constructor({ device, description, isCpu, subgroupSize }: OpenedDevice, submitTargetMs?: number) {
    this.description = description;
    this.isCpu = isCpu;
    this.subgroupSize = subgroupSize;
    this.#device = device;
    this.#errors = new ErrorScopes(device);
    this.#pipelines = new Pipelines(device);
    this.pass = new Pass(device, this.#pipelines, { isCpu, subgroupSize }, submitTargetMs);
  }

  /** @throws LoraFleetError `no_gpu`, as `openDevice` */
  static async open(options: GpuOptions, open: typeof openDevice = openDevice): Promise<Gpu> {
    return new Gpu(await open(options), options.submitTargetMs);
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
      if (this.#waitingBytes >= PIECE_BYTES) this.#sendWrites();
    }
  }

  /** WebGPU keeps a copy of what was written until the next submit: without one, that is all of a base model. */
  #sendWrites(): void {
    this.#device.queue.submit([]);
    this.#waitingBytes = 0;
  }

  /** Submits the recorded commands without waiting for them. */
  submit(): void {
    this.pass.submit();
  }

  /**
   * Submits the recorded commands, waits for them and copies a tensor back. Blocks the calling thread meanwhile.
   * @throws LoraFleetError `gpu_failure` if any command since the last read failed
   */
  async read(tensor: GpuTensor, byteLength: number = tensor.byteLength): Promise<ArrayBuffer> {
    const [bytes] = await this.readAll([{ ...tensor, byteLength }]);
    return bytes!;
  }

  get #readback(): ReadbackParts {
    const check = (attempt: string) => this.throwIfFailed(attempt);
    return { device: this.#device, submits: this.pass.submits, check };
  }

  /** Reads several tensors with one wait: Deno sleeps 10 ms for each. */
  async readAll(tensors: readonly GpuTensor[]): Promise<ArrayBuffer[]> {
    this.pass.submit();
    return await withMapped(this.#readback, tensors, (bytes) => {
      let at = 0;
      return tensors.map(({ byteLength }) => bytes.slice(at, at += byteLength).buffer);
    });
  }

  /**
   * As `read`, of tensors that follow each other in `target`, which has their length. Large ones come in pieces, so that they are
   * not in main memory twice.
   */
  async readInto(tensors: readonly GpuTensor[], target: Uint8Array<ArrayBuffer>): Promise<void> {
    this.pass.submit();
    let at = 0;
    for (const pieces of inPieces(tensors, READ_BYTES)) {
      await withMapped(this.#readback, pieces, (bytes) => {
        target.set(bytes, at);
        at += bytes.length;
      });
    }
  }

  /**
   * Throws the first error since the last call.
   * @throws LoraFleetError `does_not_fit` if memory ran out, else `gpu_failure`
   */
  async throwIfFailed(attempt: string): Promise<void> {
    const failure = await this.#errors.take(`${attempt} failed on ${this.description}`);
    if (failure === null) return;
    this.#pipelines.forget();
    throw failure;
  }

  /** Frees all memory. */
  close(): void {
    for (const buffer of this.#buffers) buffer.destroy();
    this.pass.close();
    this.#device.destroy();
  }
}

/** WebGPU writes whole words only. */
function wholeWords(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  if (bytes.length % 4 === 0) return bytes;
  const padded = new Uint8Array(allocationSize(bytes.length));
  padded.set(bytes);
  return padded;
}
