/** Which training states of a job stay, each three times the size of its adapter. */

/**
 * How far back a divergence may have begun when it is noticed: its losses were bad for 20 steps (jobs/results/divergence.ts), and
 * rose before that.
 */
export const SUSPECT_STEPS = 40;

/**
 * The newest state, from which a job goes on after a restart. With `suspectSteps` also the newest one that is older than that, and
 * the oldest one in between, which takes its place later: two at most, for a training that may have to go back.
 * @param steps of the stored states
 */
export function keptStates(steps: readonly number[], newest: number, suspectSteps: number): number[] {
  if (suspectSteps === 0) return [newest];
  const bound = newest - suspectSteps;
  const before = steps.filter((step) => step <= bound);
  const between = steps.filter((step) => step > bound && step < newest);
  return [
    ...before.length === 0 ? [] : [Math.max(...before)],
    ...between.length === 0 ? [] : [Math.min(...between)],
    newest,
  ];
}
