/** A readback for engines without a GPU: sums come piece by piece into an array that holds something else before. */
import type { Clock } from "../../shared/clock.ts";
import type { Arriving } from "../async/arrival.ts";

export interface SlowReadback {
  readonly pieceElements: number;
  /** Before each piece. */
  readonly pieceMs: number;
  /** Runs before each piece, with its first element's index; the reading rejects with its error. */
  readonly fault?: (from: number) => void;
  /** That the pieces come into, as into a real engine's memory. Default: a new one for each reading. */
  readonly target?: Int32Array;
}

/** Whoever uses an element before it is there gets a wrong sum. */
const NOT_THERE = 0x55555555;

/** Resolves with the array when all of `sums` is in it. */
export async function readSlowly(
  sums: Int32Array,
  { pieceElements, pieceMs, fault, target = new Int32Array(sums.length) }: SlowReadback,
  clock: Clock,
  arriving?: Arriving,
): Promise<Int32Array> {
  const startsAt = arriving?.count ?? 0;
  target.fill(NOT_THERE, startsAt);
  for (let from = 0; from < sums.length; from += pieceElements) {
    await clock.sleep(pieceMs);
    fault?.(from);
    const end = Math.min(sums.length, from + pieceElements);
    if (end <= startsAt) continue;
    target.set(sums.subarray(Math.max(from, startsAt), end), Math.max(from, startsAt));
    arriving?.reach(target, end);
  }
  return target;
}
