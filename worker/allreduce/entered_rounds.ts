/** The rounds that a worker has entered, to recognise frames of a past one. */
import type { TensorFrame } from "../../shared/protocol/tensor_frame.ts";
import { compareRounds, type RoundId } from "./round/round_id.ts";

export class EnteredRounds {
  #newest: { readonly id: RoundId; readonly hash: number } | null = null;
  /** Hashes of terms that are over. */
  readonly #pastHashes = new Set<number>();

  /** @param hash of the round's term (`termHash`) */
  add(id: RoundId, hash: number): void {
    const newest = this.#newest;
    if (newest !== null && newest.hash !== hash) this.#pastHashes.add(newest.hash);
    this.#pastHashes.delete(hash);
    if (newest?.hash !== hash || compareRounds(id, newest.id) > 0) this.#newest = { id, hash };
  }

  isOver(frame: Pick<TensorFrame, "jobHash" | "step" | "attempt" | "generation">): boolean {
    if (this.#newest?.hash === frame.jobHash) return compareRounds(frame, this.#newest.id) <= 0;
    return this.#pastHashes.has(frame.jobHash);
  }
}
