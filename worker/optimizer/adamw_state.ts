/** The optimizer's state as a whole: its types, copies and digest. */
import { digestOfArrays } from "../../shared/protocol/state/state_digest.ts";

/** Adapter and moments as flat arrays in the layout's order. */
export interface AdamWState {
  readonly adapter: Float32Array;
  readonly firstMoment: Float32Array;
  readonly secondMoment: Float32Array;
}

/** All that a step changes. */
export interface TrainingState extends AdamWState {
  /** Updates applied so far. */
  readonly updateCount: number;
}

/** Zeros. */
export function emptyState(elementCount: number): AdamWState {
  const zeros = () => new Float32Array(elementCount);
  return { adapter: zeros(), firstMoment: zeros(), secondMoment: zeros() };
}

export function copyState({ adapter, firstMoment, secondMoment }: AdamWState): AdamWState {
  return { adapter: adapter.slice(), firstMoment: firstMoment.slice(), secondMoment: secondMoment.slice() };
}

/** The state's digest (shared/protocol/state/state_digest.ts), by one thread. */
export function digestOf({ adapter, firstMoment, secondMoment }: AdamWState): string {
  return digestOfArrays([adapter, firstMoment, secondMoment]);
}
