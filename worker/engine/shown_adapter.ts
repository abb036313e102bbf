/**
 * Which adapter the GPU holds. An update's is written as soon as it is computed, while its report travels, so that the next step
 * finds it there; after a rollback the committed one is written when it is needed.
 */
import type { FlatAdapter } from "../model/adapter/flat_adapter.ts";

export class ShownAdapter {
  readonly #flat: Pick<FlatAdapter, "write">;
  #held: Float32Array | null = null;

  constructor(flat: Pick<FlatAdapter, "write">) {
    this.#flat = flat;
  }

  /** Writes the adapter, unless the GPU holds it. */
  show(adapter: Float32Array): void {
    if (isSame(this.#held, adapter)) return;
    this.#flat.write(adapter);
    this.#held = adapter;
  }

  /** Any other array is about to change; null: every one. */
  keepOnly(adapter: Float32Array | null): void {
    if (adapter === null || !isSame(this.#held, adapter)) this.#held = null;
  }
}

/** Views of the same memory. */
const isSame = (a: Float32Array | null, b: Float32Array) => a?.buffer === b.buffer;
