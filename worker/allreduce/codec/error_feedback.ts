/**
 * A lossy codec's rounding errors, added to the next step's sums: over many steps nothing is lost, only late (Seide et al. 2014;
 * Karimireddy et al. 2019). An uncommitted attempt leaves no trace: its errors are dropped, and the last committed step's stay.
 *
 * Kept in units of the gradient, since those of the sums change from step to step (decision 0001). f32 holds what 8 bits lose of
 * 32 exactly, and scaling by a power of two is exact as well.
 */
import { NO_FRACTION } from "./int8_blocks.ts";
import type { OwnerRange } from "../plan/owner_ranges.ts";

/** From element `offset` to the next unit's, a sum of 1 stands for 2^exponent of the gradient. */
export interface SumsUnit {
  readonly offset: number;
  readonly exponent: number;
}

export class ErrorFeedback {
  #carried: Float32Array | null = null;
  #pending: Float32Array | null = null;
  /** The array before `#carried`, for reuse. */
  #spare: Float32Array | null = null;
  #units: readonly SumsUnit[] = [];

  /** Begins a round and drops errors of an uncommitted one. `units` are sorted and begin at 0. */
  begin(elementCount: number, units: readonly SumsUnit[]): void {
    this.#units = units;
    // A different adapter has nothing to do with earlier errors.
    if (this.#carried?.length !== elementCount) this.#carried = null;
    this.#pending = reusable(this.#pending ?? this.#spare, elementCount);
    this.#spare = null;
  }

  /** Whether the last committed step left errors to carry over. */
  get isCarrying(): boolean {
    return this.#carried !== null;
  }

  /** Adds the last committed step's errors, in whole units of the sums. */
  addTo(place: OwnerRange, values: Float64Array): void {
    if (this.#carried === null) return;
    const own = this.#carried.subarray(place.offset, place.offset + place.count);
    this.#eachUnit(place, (start, end, exponent) => addScaled(values, own, start, end, 2 ** -exponent));
  }

  /** Stores this round's errors; repeating the call changes nothing. */
  keep(place: OwnerRange, lost: Float64Array): void {
    const own = this.#pending!.subarray(place.offset, place.offset + place.count);
    this.#eachUnit(place, (start, end, exponent) => setScaled(own, lost, start, end, 2 ** exponent));
  }

  /** This round's errors are carried over from now on. */
  commit(): void {
    if (this.#pending === null) return;
    this.#spare = this.#carried;
    this.#carried = this.#pending;
    this.#pending = null;
  }

  forget(): void {
    this.#spare = this.#pending ?? this.#spare;
    this.#pending = null;
  }

  /** Calls `visit` for each part of a place with one unit: from where in the place to where. */
  #eachUnit(
    { offset, count }: OwnerRange,
    visit: (start: number, end: number, exponent: number) => void,
  ): void {
    const units = this.#units;
    const next = units.findIndex((unit) => unit.offset > offset);
    for (let index = (next < 0 ? units.length : next) - 1; index < units.length; index++) {
      const start = Math.max(0, units[index]!.offset - offset);
      const end = Math.min(count, (units[index + 1]?.offset ?? Infinity) - offset);
      if (start >= count) return;
      if (start < end) visit(start, end, units[index]!.exponent);
    }
  }
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
