/**
 * One GPU: its memory, its kernels and what it reports. Nothing outside this folder calls WebGPU.
 *
 * Memory is allocated once, before the first step, and freed by `close`: left to the garbage collector, Deno does not
 * return GPU memory in time.
 */
import { systemClock } from "../../shared/clock.ts";
import { ErrorScopes } from "./error_scopes.ts";
import { type GpuOptions, openDevice, type OpenedDevice } from "./open_device.ts";
import { allocationSize } from "../../shared/memory/buffer_sizes.ts";
import { GpuMemory } from "./gpu_memory.ts";
import type { Kernel } from "./kernel.ts";
import { Pass } from "./pass.ts";
import { Pipelines } from "./pipelines.ts";
import { type ReadbackParts, withMapped } from "./readback.ts";
import { type ReadProgress, StagedReads } from "./staged_reads.ts";
import type { GpuTensor } from "./tensor.ts";

/** Of tensors in a rehearsal. */
const NO_BUFFER = {} as GPUBuffer;

export class Gpu extends GpuMemory {
  readonly isCpu: boolean;
  /** Lanes of the smallest subgroup; 0 if kernels cannot use subgroups. */
  readonly subgroupSize: number;
  /** Records dispatches; kernels run in the order of their recording, after `submit`. */
  readonly pass: Pass;
  readonly #device: GPUDevice;
  readonly #errors: ErrorScopes;
  readonly #pipelines: Pipelines;
  readonly #stagedReads: StagedReads;
  #isClosed = false;

  private constructor({ device, description, isCpu, subgroupSize }: OpenedDevice, submitTargetMs?: number) {
    super(device, description);
    this.isCpu = isCpu;
    this.subgroupSize = subgroupSize;
    this.#device = device;
    this.#errors = new ErrorScopes(device);
    this.#pipelines = new Pipelines(device);
    this.#stagedReads = new StagedReads(device);
    this.pass = new Pass(device, this.#pipelines, { isCpu, subgroupSize }, submitTargetMs);
  }

  /** @throws LoraFleetError `no_gpu`, as `openDevice` */
  static async open(options: GpuOptions, open: typeof openDevice = openDevice): Promise<Gpu> {
    return new Gpu(await open(options), options.submitTargetMs);
  }

  /** The kernels that `record` dispatches; what it allocates takes no memory, what it writes goes nowhere. */
  async rehearse(record: () => Promise<void>): Promise<ReadonlySet<Kernel>> {
    return await this.pass.rehearse(record);
  }

  /** Compiles kernels one by one, and lets others work in between. A failure shows at the next check. */
  async compileAhead(kernels: Iterable<Kernel>, signal: AbortSignal): Promise<void> {
    for (const kernel of kernels) {
      await systemClock.sleep(0);
      if (signal.aborted || this.#isClosed) return;
      this.#pipelines.pipelineOf(kernel);
    }
  }

  override allocate(label: string, byteLength: number): GpuTensor {
    if (!this.pass.isRehearsing) return super.allocate(label, byteLength);
    return { label, buffer: NO_BUFFER, byteOffset: 0, byteLength: allocationSize(byteLength) };
  }

  override write(tensor: GpuTensor, data: ArrayBufferView): void {
    if (!this.pass.isRehearsing) super.write(tensor, data);
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
    return {
      device: this.#device,
      errors: this.#errors,
      submits: this.pass.submits,
      check: (attempt) => this.throwIfFailed(attempt),
      failureOf: (thrown, attempt) =>
        this.#errors.failureOf(thrown, `${attempt} failed on ${this.description}`),
      // A driver that computes on the CPU loses no device, and a stand-in for a device computes nothing.
      watch: this.isCpu || !(this.#device instanceof GPUDevice) ? null : systemClock,
    };
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
   * As `read`, of tensors that follow each other in `target`, which has their length. Large ones come in pieces, through memory that
   * stays for the next reading.
   */
  async readInto(
    tensors: readonly GpuTensor[],
    target: Uint8Array,
    progress?: ReadProgress,
  ): Promise<void> {
    this.pass.submit();
    await this.#stagedReads.read(this.#readback, tensors, target, progress);
  }

  /**
   * Throws the first error since the last call.
   * @throws LoraFleetError `does_not_fit` if memory ran out, else `gpu_failure`: a `GpuReset` if a new device may work
   */
  async throwIfFailed(attempt: string): Promise<void> {
    const failure = await this.#errors.take(`${attempt} failed on ${this.description}`);
    if (failure === null) return;
    this.#pipelines.forget();
    throw failure;
  }

  /** Frees all memory. */
  close(): void {
    this.#isClosed = true;
    this.freeAll();
    this.#stagedReads.close();
    this.pass.close();
    this.#device.destroy();
  }
}
