/** The optimizer's state as a whole: its types, copies and digest. */
import { createHash } from "node:crypto";

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

/** SHA-256 (hex) over adapter and moments; a step commits only if it is equal on all replicas. */
export function digestOf({ adapter, firstMoment, secondMoment }: AdamWState): string {
  const hash = createHash("sha256");
  for (const part of [adapter, firstMoment, secondMoment]) {
    hash.update(new Uint8Array(part.buffer, part.byteOffset, part.byteLength));
  }
  return hash.digest("hex");
}
