/**
 * Peers' sums for chunks of which this worker's own sums are still on their way from the GPU. They are not confirmed, so that an
 * honest peer sends no more of them than its window.
 */
import type { TensorFrame } from "../../../shared/protocol/tensor_frame.ts";

interface HeldFrame {
  readonly frame: TensorFrame;
  /** It can be added once so many of this worker's own sums are there. */
  readonly needs: number;
}

export class HeldSums {
  readonly #mostOfSender: number;
  #held: HeldFrame[] = [];

  constructor(windowChunks: number) {
    this.#mostOfSender = windowChunks;
  }

  /** Why the frame is not kept. A dropped one is asked for later. */
  keep(held: HeldFrame): "used" | "duplicate" | "droppedEarly" {
    const { senderIndex, chunkIndex } = held.frame;
    const ofSender = this.#held.filter(({ frame }) => frame.senderIndex === senderIndex);
    if (ofSender.some(({ frame }) => frame.chunkIndex === chunkIndex)) return "duplicate";
    if (ofSender.length >= this.#mostOfSender) return "droppedEarly";
    this.#held.push(held);
    return "used";
  }

  /** A frame that can be added now that the first `count` own sums are there; null if there is none. */
  take(count: number): TensorFrame | null {
    const index = this.#held.findIndex(({ needs }) => needs <= count);
    return index < 0 ? null : this.#held.splice(index, 1)[0]!.frame;
  }
}
