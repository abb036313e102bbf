/** An adapter under training: its current state, and beside it the outcome of an update until that is committed. */
import { LoraFleetError } from "../../shared/errors.ts";
import { adamwUpdate, type UpdateRequest } from "./adamw.ts";
import { type AdamWState, copyState, digestOf, emptyState, type TrainingState } from "./adamw_state.ts";
import type { GradientLayout } from "../../shared/model/gradient_layout.ts";

export class OptimizerState {
  readonly #layout: GradientLayout;
  #current: AdamWState;
  /** Swaps places with `#current` at a commit, so that a step allocates nothing. */
  #next: AdamWState;
  #hasUpdate = false;
  #updateCount = 0;

  /** @param adapter the initial one [layout.elementCount]; the moments start at zero */
  constructor(layout: GradientLayout, adapter: Float32Array) {
    this.#layout = layout;
    this.#current = { ...emptyState(layout.elementCount), adapter };
    this.#next = emptyState(layout.elementCount);
  }

  /** The current adapter without a copy, valid until the next commit. */
  get adapter(): Float32Array {
    return this.#current.adapter;
  }

  /** The current state without a copy, valid until the next commit. */
  get view(): TrainingState {
    return { updateCount: this.#updateCount, ...this.#current };
  }

  /** Computes the next state and returns the gradient's norm before clipping. */
  update(request: UpdateRequest): number {
    const { elementCount } = this.#layout;
    if (request.sums.length !== elementCount) {
      throw new RangeError(`${request.sums.length} gradient sums, the adapter has ${elementCount} elements`);
    }
    const norm = adamwUpdate(this.#layout, request, this.#current, this.#next);
    this.#hasUpdate = true;
    return norm;
  }

  /** SHA-256 (hex) of the current state, or of the one that `update` computed. */
  digest(which: "current" | "next"): string {
    return digestOf(which === "current" ? this.#current : this.#next);
  }

  /** @throws LoraFleetError `conflict` without an update */
  commit(): void {
    if (!this.#hasUpdate) {
      throw new LoraFleetError("conflict", "Committing failed: there is no update to commit");
    }
    [this.#current, this.#next] = [this.#next, this.#current];
    this.#hasUpdate = false;
    this.#updateCount++;
  }

  rollback(): void {
    this.#hasUpdate = false;
  }

  /**
   * Replaces the current state by a copy of `state`.
   * @throws LoraFleetError `corrupt` for arrays of the wrong length
   */
  import(state: TrainingState): void {
    const { elementCount } = this.#layout;
    for (const name of ["adapter", "firstMoment", "secondMoment"] as const) {
      const { length } = state[name];
      if (length === elementCount) continue;
      throw new LoraFleetError(
        "corrupt",
        `Loading a training state failed: ${name} has ${length} elements, the adapter has ${elementCount}`,
      );
    }
    this.#current = copyState(state);
    this.#updateCount = state.updateCount;
    this.#hasUpdate = false;
  }

  /** A copy of the current state. */
  export(): TrainingState {
    return { updateCount: this.#updateCount, ...copyState(this.#current) };
  }
}
