/** Times in which a coordinator's event loop stood still, by what it was doing for whom (gap_recorder.ts). */
import { join } from "@std/path";
import { type CoordinatorChild, until } from "../../integration/coordinator_child.ts";
import type { Gap, GapReport } from "./gap_recorder.ts";

export interface Phase {
  readonly name: string;
  /** As in `Gap.at`. */
  readonly from: number;
  readonly to: number;
}

/** Gaps of which so much was the coordinator's own are told one by one. */
const TOLD_MS = 20;
const MOST_TOLD = 12;

/** For `startCoordinatorChild`: the recorder before the program. */
export function withRecorder(folder: string) {
  const path = join(folder, "gaps.json");
  const script = new URL("gap_recorder.ts", import.meta.url).href;
  return {
    env: { LORAFLEET_GAPS: path },
    // The profiler and /proc's files about threads are beyond what the coordinator may.
    runArgs: ["-A", "--preload", script],
    async report(coordinator: CoordinatorChild): Promise<GapReport> {
      coordinator.kill("SIGUSR2");
      const text = () => Deno.readTextFile(path).catch(() => null);
      await until("the report of gaps", async () => await text() !== null, coordinator.stderr);
      return JSON.parse((await text())!);
    },
  };
}

/** What the coordinator itself did: without the time in which it could have run, had there been a core. */
const ownMs = ({ ms, waitedMs }: Gap) => Math.max(0, ms - waitedMs);

/** Each phase's longest gap and how many there were, then the longest ones with where they came from. */
export function tellGaps({ gaps, ticks }: GapReport, phases: readonly Phase[]): void {
  const head = [
    "longest ms",
    "above 20",
    "above 50",
    "longest without waiting for a core",
    "above 20",
    "above 50",
  ];
  console.log(`${`gaps of the event loop (${ticks} looks at it)`.padEnd(40)}  ${head.join("  ")}`);
  for (const { name, from, to } of phases) {
    const within = gaps.filter(({ at }) => at >= from && at < to);
    const cells = [(gap: Gap) => gap.ms, ownMs].flatMap((msOf) => {
      const times = within.map(msOf);
      const above = (ms: number) => String(times.filter((time) => time > ms).length);
      return [Math.max(0, ...times).toFixed(1), above(20), above(50)];
    });
    console.log(
      `  ${name.padEnd(38)}  ${cells.map((cell, at) => cell.padStart(head[at]!.length)).join("  ")}`,
    );
  }
  tellLongest(gaps, phases);
}

/** Those before the first phase are the program's start. */
function tellLongest(gaps: readonly Gap[], phases: readonly Phase[]): void {
  const own = gaps.flatMap((gap) => {
    const phase = phases.find(({ from, to }) => gap.at >= from && gap.at < to);
    return phase === undefined || ownMs(gap) <= TOLD_MS ? [] : [{ phase, gap }];
  });
  for (const { phase, gap } of own.toSorted((a, b) => ownMs(b.gap) - ownMs(a.gap)).slice(0, MOST_TOLD)) {
    const seconds = ((gap.at - phase.from) / 1000).toFixed(2);
    console.log(
      `  ${gap.ms.toFixed(1)} ms: computed ${gap.ranMs.toFixed(1)}, waited for a core ` +
        `${gap.waitedMs.toFixed(1)}; ${phase.name}, ${seconds} s after its beginning`,
    );
    for (const stack of gap.stacks) console.log(`      ${stack}`);
  }
}
