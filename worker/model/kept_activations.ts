/**
 * The layers' activations: one slab for each of the last layers, as many as the plan says and the GPU gives, and the first of the
 * slabs also for all layers below, whose activations are computed again. It holds those of the highest layer that shares it, which
 * is the last one computed in it.
 */
import { LoraFleetError } from "../../shared/errors.ts";
import type { ActivationSlabs } from "../../shared/memory/activation_slabs.ts";
import type { Sizes } from "../../shared/memory/buffer_sizes.ts";
import { isOutOfMemory } from "../device/error_scopes.ts";
import type { Gpu } from "../device/gpu.ts";
import type { GpuTensor, TensorsFor } from "../device/tensor.ts";
import type { Activations } from "./pass_context.ts";

/** Share of a GPU's memory that is given back when it runs out: what else a step needs is not in the plan to the byte. */
const GIVEN_BACK = 0.05;

export interface WantedActivations {
  readonly slabs: ActivationSlabs;
  readonly layerCount: number;
  /** Slabs, at least one. */
  readonly count: number;
  /** Fewer would do as well. */
  readonly mayShrink: boolean;
}

export class KeptActivations {
  readonly #gpu: Gpu;
  readonly #wanted: WantedActivations;
  /** With what they share. */
  readonly #slabs: Activations[] = [];
  #shortfall: { readonly text: string; readonly givenBytes: number } | null = null;

  private constructor(gpu: Gpu, wanted: WantedActivations) {
    this.#gpu = gpu;
    this.#wanted = wanted;
  }

  /**
   * Allocates the slabs, one after the other; of a GPU that has less memory than planned, as many as it gives, less a reserve.
   * @throws LoraFleetError `does_not_fit` if not even one fits, or not all although no fewer will do
   */
  static async allocate(gpu: Gpu, wanted: WantedActivations): Promise<KeptActivations> {
    const kept = new KeptActivations(gpu, wanted);
    const shared = allocateAll(gpu, wanted.slabs.shared);
    while (kept.count < wanted.count) {
      const slab = allocateAll(gpu, wanted.slabs.each);
      const failure = await gpu.throwIfFailed(`Allocating the activations of ${kept.count + 1} layers`)
        .catch((thrown) => thrown);
      if (failure === undefined) {
        kept.#slabs.push({ ...slab, ...shared } as unknown as Activations);
        continue;
      }
      gpu.free(Object.values(slab));
      if (!isOutOfMemory(failure) || kept.count === 0) throw failure;
      if (!wanted.mayShrink) throw mayNot(failure, kept.count, wanted);
      const [given, givenBytes] = [kept.count, gpu.allocatedBytes];
      kept.#giveBack(givenBytes * GIVEN_BACK);
      const text = `of the ${wanted.count} layers' activations that are planned to be kept, the GPU has ` +
        `memory for ${given}; ${kept.count} are kept, so that a reserve is left (${failure.message})`;
      kept.#shortfall = { text, givenBytes };
      break;
    }
    return kept;
  }

  /** Layers whose activations are kept. */
  get count(): number {
    return this.#slabs.length;
  }

  /** If fewer are kept than wanted: why, a sentence, and the bytes that the GPU had in all. */
  get shortfall(): { readonly text: string; readonly givenBytes: number } | null {
    return this.#shortfall;
  }

  /** The slab of a layer. */
  of(layer: number): Activations {
    return this.#slabs[Math.max(0, layer - this.#shared)]!;
  }

  /** Whether the forward's activations are still there when the backward pass reaches a layer, but for what is made again. */
  isKept(layer: number): boolean {
    return layer >= this.#shared;
  }

  /** Whether norms and gated unit of a kept layer are to be made again: the last layer's are still there. */
  isRemade(layer: number): boolean {
    return "mlpInner" in this.#wanted.slabs.shared && layer !== this.#wanted.layerCount - 1;
  }

  /**
   * Frees half of the slabs.
   * @returns false if there is only one, or if no fewer will do
   */
  shrink(): boolean {
    if (this.count === 1 || !this.#wanted.mayShrink) return false;
    this.#truncate(this.count >> 1);
    return true;
  }

  /** The highest layer of those that share the first slab. */
  get #shared(): number {
    return this.#wanted.layerCount - this.count;
  }

  #giveBack(bytes: number): void {
    const each = this.#ownOf(this.#slabs[0]!).reduce((sum, { byteLength }) => sum + byteLength, 0);
    this.#truncate(Math.max(1, this.count - Math.ceil(bytes / each)));
  }

  #truncate(count: number): void {
    for (const slab of this.#slabs.splice(count)) this.#gpu.free(this.#ownOf(slab));
  }

  /** The tensors of a slab without those that all share. */
  #ownOf(slab: Activations): GpuTensor[] {
    return Object.entries(slab).flatMap(([name, tensor]) =>
      name in this.#wanted.slabs.each && tensor !== undefined ? [tensor] : []
    );
  }
}

export function allocateAll<S extends Sizes>(gpu: Gpu, sizes: S): TensorsFor<S> {
  const entries = Object.entries(sizes).map(([name, bytes]) => [name, gpu.allocate(name, bytes)] as const);
  return Object.fromEntries(entries) as Record<string, GpuTensor> as TensorsFor<S>;
}

function mayNot(failure: LoraFleetError, given: number, { count }: WantedActivations): LoraFleetError {
  return new LoraFleetError(
    "does_not_fit",
    `${failure.message}. The GPU has memory for ${given} of the ${count} layers' activations, and ` +
      "training.gradient_checkpointing is false; with true, the others are computed again, with the same gradients",
    { cause: failure, param: "training.gradient_checkpointing" },
  );
}
