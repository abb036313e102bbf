/** What a GPU holds of the current step, so that another one can hold the same. Micro-batches are small: 16 bytes a token. */
import type { MicroBatch } from "../../shared/data/packing/micro_batch.ts";
import type { Engine } from "./engine.ts";

interface Computed {
  readonly batch: MicroBatch;
  readonly number: number;
}

export class StepJournal {
  /** What the sums hold. */
  #counted: (Computed & { readonly exponents: Int8Array })[] = [];
  /** Whose gradient the GPU holds. */
  #current: Computed | null = null;

  /** Micro-batches in the sums. */
  get length(): number {
    return this.#counted.length;
  }

  /** The GPU holds this gradient; null: none that anybody needs. */
  setGradient(computed: Computed | null): void {
    this.#current = computed;
  }

  /** The gradient was added to the sums. */
  counted(exponents: Int8Array): void {
    if (this.#current !== null) this.#counted.push({ ...this.#current, exponents });
  }

  forgetSums(): void {
    this.#counted = [];
  }

  forget(): void {
    this.#counted = [];
    this.#current = null;
  }

  /** Computes on an engine without sums and gradient what this one had. */
  async replay(engine: Pick<Engine, "computeGradient" | "accumulate">): Promise<void> {
    let held: MicroBatch | null = null;
    for (const { batch, number, exponents } of this.#counted) {
      await engine.computeGradient(batch, number);
      await engine.accumulate(exponents);
      held = batch;
    }
    const current = this.#current;
    if (current !== null && current.batch !== held) {
      await engine.computeGradient(current.batch, current.number);
    }
  }
}
