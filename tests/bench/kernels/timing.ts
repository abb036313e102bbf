/** Medians of tasks that take turns, so that a busy moment hits all of them: their ratios compare within a run. */
import { median } from "../statistics.ts";

/** A measurement covers about this much work. */
const MEASUREMENT_MS = 30;
const MAX_REPETITIONS = 200;
const ROUNDS = 3;

/**
 * @param works each runs once, or records one run
 * @param finish waits for the recorded work; its own time is measured and subtracted
 * @param now a clock in ms
 * @returns the milliseconds of one run of each work
 */
export async function compareTimes(
  works: readonly (() => void)[],
  finish: () => Promise<void>,
  now: () => number = () => performance.now(),
): Promise<number[]> {
  const elapsedMs = async (work: () => void, repetitions: number) => {
    const start = now();
    for (let i = 0; i < repetitions; i++) work();
    await finish();
    return now() - start;
  };
  const idle: number[] = [];
  for (let i = 0; i < 5; i++) idle.push(await elapsedMs(() => {}, 0));
  const idleMs = median(idle);
  const repetitions: number[] = [];
  for (const work of works) {
    await elapsedMs(work, 1); // compiles
    const onceMs = await elapsedMs(work, 1) - idleMs;
    const count = Math.round(MEASUREMENT_MS / Math.max(onceMs, 0.1));
    repetitions.push(Math.max(1, Math.min(MAX_REPETITIONS, count)));
  }
  const times: number[][] = works.map(() => []);
  for (let round = 0; round < ROUNDS; round++) {
    for (const [i, work] of works.entries()) {
      times[i]!.push((await elapsedMs(work, repetitions[i]!) - idleMs) / repetitions[i]!);
    }
  }
  return times.map(median);
}
