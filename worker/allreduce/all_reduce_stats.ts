/** What all-reduces have sent, received and refused: one record that may outlive them. */
import type { SendStats } from "./round/reduce_round.ts";

export interface AllReduceStats extends SendStats {
  duplicateFrames: number;
  /** Of a round that is over, or of a different job. */
  staleFrames: number;
  corruptFrames: number;
  /** The sender is not who the frame names, or the place is not that of a chunk. */
  mismatchedFrames: number;
  /** Arrived before the round was entered and found no room. */
  droppedEarlyFrames: number;
  /** The best rate at which this worker's link receives; null until a round has shown it. */
  linkBytesPerSecond: number | null;
}

export function newAllReduceStats(): AllReduceStats {
  return {
    bytesSent: 0,
    chunksRepeated: 0,
    duplicateFrames: 0,
    staleFrames: 0,
    corruptFrames: 0,
    mismatchedFrames: 0,
    droppedEarlyFrames: 0,
    linkBytesPerSecond: null,
  };
}
