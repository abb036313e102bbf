import type { Engine } from "../engine/engine.ts";
import { copyState, type TrainingState } from "../optimizer/adamw_state.ts";

/** The inner engine of local steps, and which outer state it holds. */
export class LentEngine {
  readonly engine: Engine;
  /** Null while it holds an inner loop's state. */
  #held: TrainingState | null = null;

  constructor(engine: Engine) {
    this.engine = engine;
  }

  /** It holds this state already. */
  holds(state: TrainingState): void {
    this.#held = state;
  }

  /** Gives it a copy of a state; returns the digest, which its thread computes. */
  async give(state: TrainingState, expected?: string): Promise<string> {
    this.#held = null;
    const copy = { updateCount: state.updateCount, ...copyState(state) };
    const { digest } = await this.engine.importState(copy, expected);
    this.#held = state;
    return digest;
  }

  async ensure(state: TrainingState): Promise<void> {
    if (this.#held !== state) await this.give(state);
  }

  /** Gives it the start of an inner loop: the state's adapter, with moments of zero. */
  async giveStart({ updateCount, adapter }: TrainingState): Promise<void> {
    this.#held = null;
    const zeros = () => new Float32Array(adapter.length);
    const moments = { firstMoment: zeros(), secondMoment: zeros() };
    await this.engine.importState({ updateCount, adapter: adapter.slice(), ...moments });
  }
}
