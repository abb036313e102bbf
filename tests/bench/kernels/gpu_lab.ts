/** A GPU with seeded inputs; each case's tensors are freed after it. */
import { pcg32 } from "../../../shared/prng.ts";
import { Gpu } from "../../../worker/device/gpu.ts";
import type { Pass } from "../../../worker/device/pass.ts";
import { provideRuntimeFolder } from "../../../worker/device/runtime_folder.ts";
import type { GpuTensor } from "../../../worker/device/tensor.ts";

export class GpuLab {
  readonly #gpu: Gpu;
  readonly #prng = pcg32(1);
  readonly #fence: GpuTensor;
  #tensors: GpuTensor[] = [];

  private constructor(gpu: Gpu) {
    this.#gpu = gpu;
    this.#fence = gpu.allocate("fence", 4);
  }

  static async open(): Promise<GpuLab> {
    provideRuntimeFolder();
    return new GpuLab(await Gpu.open({ allowCpu: true }));
  }

  get description(): string {
    return this.#gpu.description;
  }

  get pass(): Pass {
    return this.#gpu.pass;
  }

  /** Numbers in [−0.5, 0.5). */
  random(count: number): Float32Array {
    return Float32Array.from({ length: count }, () => this.#prng.uniform() - 0.5);
  }

  upload(data: ArrayBufferView): GpuTensor {
    return this.#keep(this.#gpu.upload("input", data));
  }

  /** A tensor of random numbers. */
  floats(count: number): GpuTensor {
    return this.upload(this.random(count));
  }

  /** A tensor of `count` zeros. */
  zeros(count: number): GpuTensor {
    return this.#keep(this.#gpu.allocate("output", 4 * count));
  }

  /** The outputs of a case as its `outputs` reads them. */
  async readBoth(naive: GpuTensor, ours: GpuTensor): Promise<{ naive: Float32Array; ours: Float32Array }> {
    const [left, right] = await this.#gpu.readAll([naive, ours]);
    return { naive: new Float32Array(left!), ours: new Float32Array(right!) };
  }

  /** Waits until the GPU has done all recorded work. */
  async finish(): Promise<void> {
    await this.#gpu.read(this.#fence);
  }

  /** Frees the tensors of the last case. */
  reset(): void {
    for (const { buffer } of this.#tensors) buffer.destroy();
    this.#tensors = [];
  }

  close(): void {
    this.#gpu.close();
  }

  #keep(tensor: GpuTensor): GpuTensor {
    this.#tensors.push(tensor);
    return tensor;
  }
}
