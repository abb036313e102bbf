/**
 * Runs tasks in their order, at most `width` at a time, and returns their results in that order. The first failure is
 * the outcome; tasks that were not begun by then are not begun any more, those that were are waited for.
 */
export async function runPool<T>(tasks: readonly (() => Promise<T>)[], width: number): Promise<T[]> {
  const results: T[] = [];
  let next = 0;
  let hasFailed = false;
  const lane = async () => {
    while (next < tasks.length && !hasFailed) {
      const index = next++;
      try {
        results[index] = await tasks[index]!();
      } catch (thrown) {
        hasFailed = true;
        throw thrown;
      }
    }
  };
  const lanes = await Promise.allSettled(Array.from({ length: width }, lane));
  for (const outcome of lanes) if (outcome.status === "rejected") throw outcome.reason;
  return results;
}
