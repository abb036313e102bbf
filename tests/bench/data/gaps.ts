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

/** Gaps that are told one by one. */
const TOLD_MS = 20;
const MOST_TOLD = 12;

/** For `startCoordinatorChild`: the recorder before the program. */
export function withRecorder(folder: string) {
  const path = join(folder, "gaps.json");
  const script = new URL("gap_recorder.ts", import.meta.url).href;
  return {
    env: { LORAFLEET_GAPS: path },
    runArgs: ["--preload", script],
    async report(coordinator: CoordinatorChild): Promise<GapReport> {
      coordinator.kill("SIGUSR2");
      const text = () => Deno.readTextFile(path).catch(() => null);
      await until("the report of gaps", async () => await text() !== null, coordinator.stderr);
      return JSON.parse((await text())!);
    },
  };
}

const total = (gaps: readonly Gap[], value: (gap: Gap) => number) =>
  gaps.reduce((sum, gap) => sum + value(gap), 0);

/** Each phase's longest gap and how many there were, then the longest ones with where they came from. */
export function tellGaps({ gaps, ticks }: GapReport, phases: readonly Phase[]): void {
  const within = ({ from, to }: Phase) => gaps.filter(({ at }) => at >= from && at < to);
  console.log(`gaps of the event loop, of ${ticks} looks at it             longest ms  above 20, 50 ms`);
  for (const phase of phases) {
    const found = within(phase);
    const above = (ms: number) => String(found.filter((gap) => gap.ms > ms).length);
    const longest = found.reduce((longest, { ms }) => Math.max(longest, ms), 0);
    console.log(
      `  ${phase.name.padEnd(45)}${
        found.length === 0 ? "<15".padStart(10) : longest.toFixed(1).padStart(10)
      }` +
        `${above(20).padStart(10)}${above(50).padStart(4)}`,
    );
  }
  const told = gaps.filter(({ ms }) => ms > TOLD_MS).toSorted((a, b) => b.ms - a.ms).slice(0, MOST_TOLD);
  for (const gap of told) {
    const { at, ms, ranMs, waitedMs, stacks } = gap;
    const phase = phases.findLast(({ from }) => at >= from);
    console.log(
      `  ${ms.toFixed(1)} ms: computed ${ranMs.toFixed(1)}, waited for a core ${waitedMs.toFixed(1)}; ` +
        `${phase?.name ?? "the start"}, ${
          ((at - (phase?.from ?? at)) / 1000).toFixed(2)
        } s after its beginning`,
    );
    for (const stack of stacks) console.log(`      ${stack}`);
  }
  const [ran, waited] = [total(told, ({ ranMs }) => ranMs), total(told, ({ waitedMs }) => waitedMs)];
  if (told.length > 0) {
    console.log(
      `  of these: computed ${ran.toFixed(0)} ms, waited for a core ${waited.toFixed(0)} ms`,
    );
  }
}
