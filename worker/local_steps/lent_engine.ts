import type { Engine } from "../engine/engine.ts";
import type { TrainingState } from "../optimizer/adamw_state.ts";
import { sharedFloats } from "./nesterov.ts";

/** The inner engine of local steps, and which outer state it holds. */
export class LentEngine {
  readonly engine: Engine;
  /** Null while it holds an inner loop's state. */
  #held: TrainingState | null = null;
  /** The moments of each inner loop's start: shared, and never written, so that it takes no memory. */
  #zeros = sharedFloats(0);

  constructor(engine: Engine) {
    this.engine = engine;
  }

  /** It holds this state already. */
  holds(state: TrainingState): void {
    this.#held = state;
  }

  /** Gives it a state, which stays the caller's; returns the digest, which its thread computes. */
  async give(state: TrainingState): Promise<string> {
    this.#held = null;
    const { updateCount, adapter, firstMoment, secondMoment } = state;
    const { digest } = await this.engine.importState({
      ...{ updateCount, adapter: toRead(adapter) },
      ...{ firstMoment: toRead(firstMoment), secondMoment: toRead(secondMoment) },
    });
    this.#held = state;
    return digest;
  }

  /** Hands over a state that comes from elsewhere; returns the inner engine's own copy. */
  async take(
    state: TrainingState,
    expected?: string,
  ): Promise<{ readonly state: TrainingState; readonly digest: string }> {
    this.#held = null;
    const { digest } = await this.engine.importState(state, expected);
    const taken = this.#held = await this.engine.exportState();
    return { state: taken, digest };
  }

  async ensure(state: TrainingState): Promise<void> {
    if (this.#held !== state) await this.give(state);
  }

  /** Gives it the start of an inner loop: the state's adapter, with moments of zero. */
  async giveStart({ updateCount, adapter }: TrainingState): Promise<void> {
    this.#held = null;
    if (this.#zeros.length !== adapter.length) this.#zeros = sharedFloats(adapter.length);
    const moments = { firstMoment: this.#zeros, secondMoment: this.#zeros };
    await this.engine.importState({ updateCount, adapter: toRead(adapter), ...moments });
  }
}

/** What an engine may read: it takes other arrays than those in shared memory for its own. */
function toRead(array: Float32Array): Float32Array {
  return array.buffer instanceof SharedArrayBuffer ? array : array.slice();
}
