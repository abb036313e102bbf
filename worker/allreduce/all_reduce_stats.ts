/** Counts over all-reduces, which the record may outlive. */
import type { SendStats } from "./round/reduce_round.ts";

export interface AllReduceStats extends SendStats {
  duplicateFrames: number;
  /** Of a round that is over, or of a different job. */
  staleFrames: number;
  corruptFrames: number;
  /** The frame names a different sender, or the place is not that of a chunk. */
  mismatchedFrames: number;
  /** Arrived before the round was entered, or before this worker's own sums, and found no room. */
  droppedEarlyFrames: number;
  /** The best rate at which this worker's link receives; null until a round has shown it. */
  linkBytesPerSecond: number | null;
}

export function newAllReduceStats(): AllReduceStats {
  const sent = { bytesSent: 0, chunksRepeated: 0 };
  const refused = {
    duplicateFrames: 0,
    staleFrames: 0,
    corruptFrames: 0,
    mismatchedFrames: 0,
    droppedEarlyFrames: 0,
  };
  return { ...sent, ...refused, linkBytesPerSecond: null };
}
