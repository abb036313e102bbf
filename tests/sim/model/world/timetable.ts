/**
 * Runs thousands of timers a second with one sleeper of the clock for each millisecond in which something is due, instead
 * of one for each timer.
 */
import type { Clock } from "../../../../shared/clock.ts";

export interface Timetable {
  readonly now: number;
  /** Runs it after so many milliseconds, rounded up; runs of one millisecond keep the order of the calls. */
  after(milliseconds: number, run: () => void): void;
}

export function createTimetable(clock: Clock): Timetable {
  const due = new Map<number, (() => void)[]>();

  function wait(at: number): (() => void)[] {
    const runs: (() => void)[] = [];
    due.set(at, runs);
    void clock.sleep(at - clock.now()).then(() => {
      // Runs that they add for this millisecond get a turn of their own.
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
