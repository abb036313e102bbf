/**
 * What a lossy codec did not say of this worker's numbers, so that it can be said with the next ones: over many steps nothing
 * is lost, only late (Seide et al. 2014; Karimireddy et al. 2019). It belongs to the step: an attempt that is not committed
 * has told nobody anything, so what it lost is forgotten, and what the last committed step lost stays as it was.
 *
 * Kept in units of the gradient, since those of the sums change from step to step (decision 0001): f32, which holds what
 * a code of 8 bits loses of 32 bits exactly, and a power of two is exact, too.
 */
import { NO_FRACTION } from "./int8_blocks.ts";
import type { OwnerRange } from "../plan/owner_ranges.ts";

/** From element `offset` on, up to the next one's, a sum of 1 stands for 2^exponent of the gradient. */
export interface SumsUnit {
  readonly offset: number;
  readonly exponent: number;
}

export interface ErrorFeedback {
  /** A round begins; what an earlier one lost without a commit is forgotten. `units` are sorted and begin at 0. */
  begin(elementCount: number, units: readonly SumsUnit[]): void;
  /** Whether the last committed step has lost anything. */
  readonly isCarrying: boolean;
  /** Adds what the last committed step lost, in whole units of the sums. */
  addTo(place: OwnerRange, values: Float64Array): void;
  /** This round loses so much; said again it is the same. */
  keep(place: OwnerRange, lost: Float64Array): void;
  /** What the round has lost counts from now on. */
  commit(): void;
  forget(): void;
}

export function createErrorFeedback(): ErrorFeedback {
  let carried: Float32Array | null = null;
  let pending: Float32Array | null = null;
  /** The array before `carried`, to be used again. */
  let spare: Float32Array | null = null;
  let units: readonly SumsUnit[] = [];

  /** Calls with each part of a place that has one unit: from where in the place to where. */
  function eachUnit(
    { offset, count }: OwnerRange,
    visit: (start: number, end: number, exponent: number) => void,
  ): void {
    const next = units.findIndex((unit) => unit.offset > offset);
    for (let index = (next < 0 ? units.length : next) - 1; index < units.length; index++) {
      const start = Math.max(0, units[index]!.offset - offset);
      const end = Math.min(count, (units[index + 1]?.offset ?? Infinity) - offset);
      if (start >= count) return;
      if (start < end) visit(start, end, units[index]!.exponent);
    }
  }

  return {
    begin: (elementCount, unitsOfSums) => {
      units = unitsOfSums;
      // Another adapter has nothing to do with what was lost.
      if (carried?.length !== elementCount) carried = null;
      pending = reusable(pending ?? spare, elementCount);
      spare = null;
    },
    get isCarrying() {
      return carried !== null;
    },
    addTo: (place, values) => {
      if (carried === null) return;
      const own = carried.subarray(place.offset, place.offset + place.count);
      eachUnit(place, (start, end, exponent) => addScaled(values, own, start, end, 2 ** -exponent));
    },
    keep: (place, lost) => {
      const own = pending!.subarray(place.offset, place.offset + place.count);
      eachUnit(place, (start, end, exponent) => setScaled(own, lost, start, end, 2 ** exponent));
    },
    commit: () => {
      if (pending === null) return;
      spare = carried;
      carried = pending;
      pending = null;
    },
    forget: () => {
      spare = pending ?? spare;
      pending = null;
    },
  };
}

const reusable = (array: Float32Array | null, length: number): Float32Array =>
  array?.length === length ? array : new Float32Array(length);

function addScaled(values: Float64Array, lost: Float32Array, start: number, end: number, by: number): void {
  for (let index = start; index < end; index++) {
    values[index]! += lost[index]! * by + NO_FRACTION - NO_FRACTION;
  }
}

function setScaled(lost: Float32Array, values: Float64Array, start: number, end: number, by: number): void {
  for (let index = start; index < end; index++) lost[index] = values[index]! * by;
}
