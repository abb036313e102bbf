/** How much of the flat gradient each member of a round owns, by the speed of its link. */

/** Speeds are rounded to octaves, so that noise does not change the ranges. */
const MIN_OCTAVE = -6;
const MAX_WEIGHT = 16;

/**
 * Weights for `ownerRanges`, one for each member: whole numbers, not all 0, all 1 if the links are alike.
 *
 * In a round of W members the owner of a share s of the N elements receives N + (W − 2)·s·N of them: W − 1 sums for its own
 * share, and all other shares once. Every member sends N, whatever it owns. The shares are chosen so that all finish at the
 * same time T, (1 + (W − 2)·s) / speed = T; a member that would need longer even without a share has none. Two members
 * receive the same, however the gradient is cut.
 *
 * @param bytesPerSecond highest rate at which each link has received; null if unknown: taken as the median of the others
 */
export function rangeWeights(bytesPerSecond: readonly (number | null)[]): number[] {
  const speeds = relativeSpeeds(bytesPerSecond);
  const count = speeds.length;
  if (count < 3 || speeds.every((speed) => speed === 1)) return speeds.map(() => 1);
  const time = commonTime(speeds);
  const shares = speeds.map((speed) => Math.max(0, (time * speed - 1) / (count - 2)));
  const largest = Math.max(...shares);
  return shares.map((share) => Math.round(MAX_WEIGHT * share / largest));
}

/** Powers of two, 1 for the fastest. */
function relativeSpeeds(rates: readonly (number | null)[]): number[] {
  const known = rates.filter((rate) => rate !== null && rate > 0 && Number.isFinite(rate)) as number[];
  if (known.length === 0) return rates.map(() => 1);
  const [fastest, median] = [Math.max(...known), known.toSorted((a, b) => a - b)[known.length >> 1]!];
  return rates.map((rate) => {
    const usable = rate !== null && rate > 0 && Number.isFinite(rate) ? rate : median;
    return 2 ** Math.max(MIN_OCTAVE, Math.round(Math.log2(usable / fastest)));
  });
}

/** T of the formula above, with as many owners as possible. */
function commonTime(speeds: readonly number[]): number {
  const descending = speeds.toSorted((a, b) => b - a);
  let time = Infinity;
  let sum = 0;
  for (const [index, speed] of descending.entries()) {
    sum += speed;
    const withThis = (speeds.length - 2 + index + 1) / sum;
    if (withThis * speed < 1) break;
    time = withThis;
  }
  return time;
}
