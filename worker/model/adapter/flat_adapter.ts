/**
 * The adapter on the GPU, its gradient and the integer sums, each in parts that the device can bind. To the rest of the worker they
 * are flat arrays in the layout's order, whatever the parts.
 */
import type { AdapterPart } from "../../../shared/memory/adapter_parts.ts";
import { adapterSizes, type PlanOptions } from "../../../shared/memory/buffer_sizes.ts";
import type { LoraPlan } from "../../../shared/memory/lora_plan.ts";
import { GRADIENT_BLOCK_SIZE, type GradientLayout } from "../../../shared/model/gradient_layout.ts";
import type { Gpu } from "../../device/gpu.ts";
import type { ReadProgress } from "../../device/staged_reads.ts";
import { type GpuTensor, sliceTensor, type TensorsFor } from "../../device/tensor.ts";
import { encodeAccumulateGradient, encodeMaxAbs } from "../../kernels/gradients/gradient_sums.ts";

type Sizes = ReturnType<typeof adapterSizes>;
type PartTensors = TensorsFor<Sizes["parts"][number]["sizes"]>;

/** An array that every part holds its share of. */
type FlatName = "adapter" | "gradient" | "gradientSums";

export class FlatAdapter {
  readonly #gpu: Gpu;
  readonly #layout: GradientLayout;
  readonly #parts: readonly (AdapterPart & PartTensors)[];
  /** The bits of each tensor's largest |gradient| [tensors]. */
  readonly maxBits: GpuTensor;
  readonly #scales: GpuTensor;

  /** Allocates everything; adapter, gradient and sums are zero. */
  constructor(gpu: Gpu, { layout }: LoraPlan, options: PlanOptions, sizes: Sizes) {
    this.#gpu = gpu;
    this.#layout = layout;
    this.#parts = sizes.parts.map(({ part, sizes }) => {
      const named = Object.entries(sizes).map(([name, bytes]) => [name, gpu.allocate(name, bytes)] as const);
      return { ...part, ...Object.fromEntries(named) as PartTensors };
    });
    this.maxBits = gpu.allocate("gradientMaxBits", sizes.shared.gradientMaxBits);
    this.#scales = gpu.allocate("gradientScales", sizes.shared.gradientScales);
    if (!options.training) return;
    for (const part of this.#parts) gpu.write(part.tensorOfBlock, tensorOfBlock(layout, part));
  }

  /** In how many buffers each array is. */
  get partCount(): number {
    return this.#parts.length;
  }

  /** A tensor of the layout, of the adapter or of its gradient. */
  tensorAt(flat: FlatName, index: number): GpuTensor {
    const { name, shape: [rows, columns], offset } = this.#layout.tensors[index]!;
    const part = this.#parts.find(({ endTensor }) => index < endTensor)!;
    return sliceTensor(part[flat], name, (offset - part.offset) * 4, rows * columns * 4);
  }

  /** Replaces the adapter by `values` [layout.elementCount]. */
  write(values: Float32Array): void {
    if (values.length !== this.#layout.elementCount) {
      throw new RangeError(`${values.length} values, the adapter has ${this.#layout.elementCount} elements`);
    }
    for (const { adapter, offset, count } of this.#parts) {
      this.#gpu.write(adapter, values.subarray(offset, offset + count));
    }
  }

  /** Records the search of each tensor's largest |gradient|, into `maxBits`. */
  encodeMaxAbs(): void {
    const { pass } = this.#gpu;
    pass.clear(this.maxBits);
    for (const { gradient, tensorOfBlock, count } of this.#parts) {
      encodeMaxAbs(pass, { gradient, tensorOfBlock, maxBits: this.maxBits, count });
    }
  }

  /** Records the adding of round(gradient · 2^−exponent), tensor by tensor, to the sums. */
  encodeAccumulate(exponents: Int8Array): void {
    const { pass } = this.#gpu;
    this.#gpu.write(this.#scales, Float32Array.from(exponents, (exponent) => 2 ** -exponent));
    for (const { gradient, tensorOfBlock, gradientSums: sums, count } of this.#parts) {
      encodeAccumulateGradient(pass, { gradient, tensorOfBlock, scales: this.#scales, sums, count });
    }
  }

  /** Records the setting of all sums to zero. */
  encodeClearSums(): void {
    for (const { gradientSums } of this.#parts) this.#gpu.pass.clear(gradientSums);
  }

  /** The adapter [layout.elementCount]. */
  async readAdapter(): Promise<Float32Array<ArrayBuffer>> {
    return new Float32Array(await this.#read("adapter"));
  }

  /** The gradient [layout.elementCount]. */
  async readGradient(): Promise<Float32Array<ArrayBuffer>> {
    return new Float32Array(await this.#read("gradient"));
  }

  /** The sums [layout.elementCount]; `progress` is told of them as they come. */
  async readSums(
    target: Int32Array = new Int32Array(this.#layout.elementCount),
    progress?: ReadProgress,
  ): Promise<Int32Array> {
    await this.#readInto("gradientSums", target, progress);
    return target;
  }

  async #read(flat: FlatName): Promise<ArrayBuffer> {
    const values = new Float32Array(this.#layout.elementCount);
    await this.#readInto(flat, values);
    return values.buffer;
  }

  async #readInto(
    flat: FlatName,
    { buffer, byteOffset, byteLength }: ArrayBufferView,
    progress?: ReadProgress,
  ): Promise<void> {
    const bytes = new Uint8Array(buffer, byteOffset, byteLength);
    const tensors = this.#parts.map((part) => ({ ...part[flat], byteLength: part.count * 4 }));
    await this.#gpu.readInto(tensors, bytes, progress);
  }
}

/** The tensor that each block of a part belongs to. */
function tensorOfBlock(
  { tensors }: GradientLayout,
  { offset, count, firstTensor, endTensor }: AdapterPart,
): Uint32Array<ArrayBuffer> {
  const indices = new Uint32Array(count / GRADIENT_BLOCK_SIZE);
  for (let index = firstTensor; index < endTensor; index++) {
    indices.fill(index, (tensors[index]!.offset - offset) / GRADIENT_BLOCK_SIZE);
  }
  return indices;
}
