/**
 * Frames of a round that this worker has not entered yet. Only the newest round is kept, within a limit: the worker requests
 * dropped frames once it has entered the round.
 */
import type { TensorFrame } from "../../shared/protocol/tensor_frame.ts";
import { compareRounds, type RoundNumbers } from "./round/round_id.ts";

export interface EarlyFrame {
  /** The publishing worker, from the subject. */
  readonly sender: string;
  readonly frame: TensorFrame;
}

export class EarlyFrames {
  readonly #maxBytes: number;
  #round: (RoundNumbers & { readonly hash: number }) | null = null;
  #frames: EarlyFrame[] = [];
  #bytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /**
   * False if there is no room, or a newer round is waiting. Of two terms the one whose frames come last counts as newer: the caller
   * drops frames of terms known to be over.
   */
  keep(early: EarlyFrame): boolean {
    const { jobHash: hash, step, attempt, generation } = early.frame;
    const order = this.#round?.hash === hash ? compareRounds(early.frame, this.#round) : 1;
    if (order < 0) return false;
    if (order > 0) {
      this.#forget();
      this.#round = { hash, step, attempt, generation };
    }
    const size = early.frame.payload.byteLength;
    if (this.#bytes + size > this.#maxBytes) return false;
    this.#bytes += size;
    this.#frames.push(early);
    return true;
  }

  /** Hands over the frames of this round of the term that `hash` names, and forgets those of older rounds and other terms. */
  take(hash: number, entered: RoundNumbers): EarlyFrame[] {
    const order = this.#round?.hash === hash ? compareRounds(this.#round, entered) : -1;
    if (order > 0) return [];
    const kept = order === 0 ? this.#frames : [];
    this.#forget();
    return kept;
  }

  #forget(): void {
    this.#round = null;
    this.#frames = [];
    this.#bytes = 0;
  }
}
