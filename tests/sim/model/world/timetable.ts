/**
 * Things that are to be done at their times, thousands a second: one sleeper of the clock for each millisecond in which
 * something is due, not one for each thing.
 */
import type { Clock } from "../../../../shared/clock.ts";

export interface Timetable {
  readonly now: number;
  /** Does it after so many milliseconds, rounded up; what is due in the same millisecond is done in the order of the calls. */
  after(milliseconds: number, run: () => void): void;
}

export function createTimetable(clock: Clock): Timetable {
  const due = new Map<number, (() => void)[]>();

  function wait(at: number): (() => void)[] {
    const runs: (() => void)[] = [];
    due.set(at, runs);
    void clock.sleep(at - clock.now()).then(() => {
      // What they add for this millisecond has another turn.
      due.delete(at);
      for (const run of runs) run();
    });
    return runs;
  }

  return {
    get now() {
      return clock.now();
    },
    after: (milliseconds, run) => {
      const at = clock.now() + Math.ceil(Math.max(0, milliseconds));
      (due.get(at) ?? wait(at)).push(run);
    },
  };
}
