/**
 * Frames of a round that this worker has not entered yet. Only the newest round is kept, and no more than so many bytes:
 * what is dropped is asked for when the round is entered and quiet.
 */
import type { TensorFrame } from "../../shared/tensor_frame.ts";
import { compareRounds, type RoundId } from "./round_id.ts";

export interface EarlyFrame {
  /** Who sent it, as the subject says. */
  readonly sender: string;
  readonly frame: TensorFrame;
}

export interface EarlyFrames {
  /** False where there is no room, or a newer round is waiting. */
  keep(early: EarlyFrame): boolean;
  /** Hands over what was kept for this round and forgets all of older ones. */
  take(round: RoundId): EarlyFrame[];
}

export function createEarlyFrames(maxBytes: number): EarlyFrames {
  let round: RoundId | null = null;
  let frames: EarlyFrame[] = [];
  let bytes = 0;

  function forget(): void {
    round = null;
    frames = [];
    bytes = 0;
  }

  return {
    keep(early) {
      const order = round === null ? 1 : compareRounds(early.frame, round);
      if (order < 0) return false;
      if (order > 0) {
        forget();
        const { step, attempt, generation } = early.frame;
        round = { step, attempt, generation };
      }
      const size = early.frame.payload.byteLength;
      if (bytes + size > maxBytes) return false;
      bytes += size;
      frames.push(early);
      return true;
    },
    take(entered) {
      if (round === null || compareRounds(round, entered) > 0) return [];
      const kept = compareRounds(round, entered) === 0 ? frames : [];
      forget();
      return kept;
    },
  };
}
