/** Which worker owns which part of the flat gradient. Pure, so that all members compute the same from the same numbers. */
import { LoraFleetError } from "../../../shared/errors.ts";

/** A contiguous part of the flat gradient, in elements. */
export interface OwnerRange {
  readonly offset: number;
  readonly count: number;
}

/** 256 bytes: a range begins where vectors, and tensors bound by themselves, may begin. */
export const RANGE_ALIGNMENT = 64;

/**
 * Splits `elementCount` elements among `weights.length` owners, in their order and without gaps. A range's size is
 * proportional to its owner's weight (say, its bandwidth) up to rounding to whole blocks of 64 elements; it may be empty.
 *
 * Throws a `LoraFleetError` with code `invalid_request` unless there is an owner, all weights are finite and not negative,
 * and one is positive.
 */
export function ownerRanges(elementCount: number, weights: readonly number[]): OwnerRange[] {
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  if (!(total > 0) || !Number.isFinite(total) || weights.some((weight) => weight < 0)) {
    const message = `owners' weights are [${weights}]; finite ones, not negative and not all 0, are needed`;
    throw new LoraFleetError("invalid_request", message);
  }
  const blockCount = Math.ceil(elementCount / RANGE_ALIGNMENT);
  let weightSoFar = 0;
  let offset = 0;
  return weights.map((weight, index) => {
    weightSoFar += weight;
    const isLast = index === weights.length - 1;
    const endBlock = isLast ? blockCount : Math.round(blockCount * (weightSoFar / total));
    const end = Math.min(elementCount, endBlock * RANGE_ALIGNMENT);
    const range = { offset, count: end - offset };
    offset = end;
    return range;
  });
}

/** The first element after a range. */
export const endOf = ({ offset, count }: OwnerRange): number => offset + count;

export function equalWeights(ownerCount: number): number[] {
  return new Array<number>(ownerCount).fill(1);
}
