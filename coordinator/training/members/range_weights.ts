/** How much of the flat gradient each member of a round owns, by the speed of its link. Pure. */

/** Speeds are told apart by octaves, so that noise leaves the ranges as they are … */
const SLOWEST_OCTAVE = -6;
/** … and weights are whole numbers up to this. */
const LARGEST_WEIGHT = 16;

/**
 * Weights for `ownerRanges`, one for each member: whole numbers, not all 0, all 1 where the links are alike.
 *
 * In a round of W members the owner of a share s of the N elements receives N + (W − 2)·s·N of them: the others' sums for
 * its share W − 1 times, and all other shares once. Everybody sends N, whatever it owns. So the shares are those with
 * which all are ready at the same time T, (1 + (W − 2)·s) / speed = T; who would need longer without any share has
 * none. Two members receive the same, however the gradient is cut.
 *
 * @param bytesPerSecond what each link receives at its best; null where it is not known: as the median of the others
 */
export function rangeWeights(bytesPerSecond: readonly (number | null)[]): number[] {
  const speeds = relativeSpeeds(bytesPerSecond);
  const count = speeds.length;
  if (count < 3 || speeds.every((speed) => speed === 1)) return speeds.map(() => 1);
  const time = commonTime(speeds);
  const shares = speeds.map((speed) => Math.max(0, (time * speed - 1) / (count - 2)));
  const largest = Math.max(...shares);
  return shares.map((share) => Math.round(LARGEST_WEIGHT * share / largest));
}

/** Powers of two, 1 for the fastest. */
function relativeSpeeds(rates: readonly (number | null)[]): number[] {
  const known = rates.filter((rate) => rate !== null && rate > 0 && Number.isFinite(rate)) as number[];
  if (known.length === 0) return rates.map(() => 1);
  const [fastest, median] = [Math.max(...known), known.toSorted((a, b) => a - b)[known.length >> 1]!];
  return rates.map((rate) => {
    const usable = rate !== null && rate > 0 && Number.isFinite(rate) ? rate : median;
    return 2 ** Math.max(SLOWEST_OCTAVE, Math.round(Math.log2(usable / fastest)));
  });
}

/** T of the formula above: the most members that can own something own it. */
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
