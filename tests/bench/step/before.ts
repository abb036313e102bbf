/** What a worker did between two steps before decision 0041: one thread, JavaScript, SHA-256 of the whole, copies of the sums. */
import { adamwUpdate, type UpdateRequest } from "../../../worker/optimizer/adamw.ts";
import { type AdamWState, copyState, emptyState } from "../../../worker/optimizer/adamw_state.ts";
import type { GradientLayout } from "../../../shared/model/gradient_layout.ts";
import { formerDigestOf } from "../../../shared/protocol/state/state_digest.ts";

export class StepBefore {
  readonly #layout: GradientLayout;
  #current: AdamWState;
  #next: AdamWState;

  constructor(layout: GradientLayout, adapter: Float32Array) {
    this.#layout = layout;
    this.#current = { ...emptyState(layout.elementCount), adapter };
    this.#next = emptyState(layout.elementCount);
  }

  /** From the mapped memory of a readback to the array that a round sums in. */
  readSums(mapped: Int32Array): Int32Array {
    const taken = mapped.slice();
    return taken.slice(); // the first one stays in case that the membership changes
  }

  /** The norm before clipping. */
  update(request: UpdateRequest): number {
    return adamwUpdate(this.#layout, request, this.#current, this.#next);
  }

  digest(): string {
    const { adapter, firstMoment, secondMoment } = this.#next;
    return formerDigestOf([adapter, firstMoment, secondMoment]);
  }

  commit(): void {
    [this.#current, this.#next] = [this.#next, this.#current];
  }

  export(): AdamWState {
    return copyState(this.#current);
  }
}
