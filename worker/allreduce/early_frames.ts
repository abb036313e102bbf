/**
 * Frames of a round that this worker has not entered yet. Only the newest round is kept, and no more than so many bytes:
 * what is dropped is asked for when the round is entered and quiet.
 */
import type { TensorFrame } from "../../shared/protocol/tensor_frame.ts";
import { compareRounds, type RoundNumbers } from "./round/round_id.ts";

export interface EarlyFrame {
  /** Who sent it, as the subject says. */
  readonly sender: string;
  readonly frame: TensorFrame;
}

export interface EarlyFrames {
  /**
   * False where there is no room, or a newer round is waiting. Of two terms the one whose frames come last is taken for the
   * newer one: those of a term that is known to be over are not brought here.
   */
  keep(early: EarlyFrame): boolean;
  /** Hands over what was kept for this round of the term that `hash` names, and forgets all of older and other ones. */
  take(hash: number, round: RoundNumbers): EarlyFrame[];
}

export function createEarlyFrames(maxBytes: number): EarlyFrames {
  let round: (RoundNumbers & { readonly hash: number }) | null = null;
  let frames: EarlyFrame[] = [];
  let bytes = 0;

  function forget(): void {
    round = null;
    frames = [];
    bytes = 0;
  }

  return {
    keep(early) {
      const { jobHash: hash, step, attempt, generation } = early.frame;
      const order = round?.hash === hash ? compareRounds(early.frame, round) : 1;
      if (order < 0) return false;
      if (order > 0) {
        forget();
        round = { hash, step, attempt, generation };
      }
      const size = early.frame.payload.byteLength;
      if (bytes + size > maxBytes) return false;
      bytes += size;
      frames.push(early);
      return true;
    },
    take(hash, entered) {
      const order = round?.hash === hash ? compareRounds(round, entered) : -1;
      if (order > 0) return [];
      const kept = order === 0 ? frames : [];
      forget();
      return kept;
    },
  };
}
