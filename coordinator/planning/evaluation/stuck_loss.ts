/** Whether a loss has not moved off its start after a fifth of the steps: pure, so that a restarted coordinator says the same. */

/** Fewer steps say nothing. */
const MIN_STEPS = 10;
/** A loss that has improved by less than this share has not moved … */
const LEAST_SHARE = 0.002;
/** … nor has one that has improved by less than this share and than its noise, in standard errors of the difference. */
const DOUBTED_SHARE = 0.05;
const STANDARD_ERRORS = 2;

/** The step after which the losses are looked at; null for a job that is too short for that. */
export function stuckLossStep(totalSteps: number): number | null {
  const step = Math.max(MIN_STEPS, Math.ceil(totalSteps / 5));
  return step <= totalSteps / 2 ? step : null;
}

/**
 * Why the user should look; null if the loss moves, or may.
 * @param losses of the first steps, in order
 */
export function stuckLoss(losses: readonly number[]): string | null {
  if (losses.length < MIN_STEPS) return null;
  const third = Math.floor(losses.length / 3);
  const [first, last] = [summaryOf(losses.slice(0, third)), summaryOf(losses.slice(-third))];
  const improvement = first.mean - last.mean;
  const noise = STANDARD_ERRORS * Math.sqrt(first.squaredError + last.squaredError);
  const least = Math.max(LEAST_SHARE * first.mean, Math.min(DOUBTED_SHARE * first.mean, noise));
  if (improvement > least) return null;
  return `After ${losses.length} steps, a fifth of all, the loss has not moved off its start: it was ` +
    `${first.mean.toFixed(4)} in the first ${third} and is ${
      last.mean.toFixed(4)
    } in the last ${third}. Look at the masks ` +
    "(a dry run shows them), at training.learning_rate and at the warm-up.";
}

/** The mean, and the square of its standard error. */
function summaryOf(values: readonly number[]) {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return { mean, squaredError: squares / Math.max(1, values.length - 1) / values.length };
}
