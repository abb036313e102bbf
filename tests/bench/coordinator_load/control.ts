/**
 * A process beside the coordinator that does nothing but sleep and write: what delays it delays the coordinator as well, and is the
 * machine. Prints one line of JSON when its input ends.
 */
import { parseArgs } from "node:util";
import { systemClock } from "../../../shared/clock.ts";

const TICK_MS = 20;
const TICKS_PER_WRITE = 50;
const WRITE = new Uint8Array(8192);

/** What a control process has seen. */
export interface ControlReport {
  /** Longest time between two ticks beyond their distance, and when in its life it began. */
  readonly longestGapMs: number;
  readonly gapAtSecond: number;
  /** Longest time that a write of 8 KiB took to reach the disk. */
  readonly longestSyncMs: number;
  readonly syncAtSecond: number;
}

async function watch(folder: string, isOver: () => boolean): Promise<ControlReport> {
  const report = { longestGapMs: 0, gapAtSecond: 0, longestSyncMs: 0, syncAtSecond: 0 };
  const startedAt = performance.now();
  using file = await Deno.open(`${folder}/control`, { write: true, create: true });
  for (let tick = 1; !isOver(); tick++) {
    const before = performance.now();
    await systemClock.sleep(TICK_MS);
    const gapMs = performance.now() - before - TICK_MS;
    const atSecond = Math.round((before - startedAt) / 1000);
    if (gapMs > report.longestGapMs) Object.assign(report, { longestGapMs: gapMs, gapAtSecond: atSecond });
    if (tick % TICKS_PER_WRITE > 0) continue;
    const writtenAt = performance.now();
    file.seekSync(0, Deno.SeekMode.Start);
    file.writeSync(WRITE);
    file.syncDataSync();
    const syncMs = performance.now() - writtenAt;
    if (syncMs > report.longestSyncMs) {
      Object.assign(report, { longestSyncMs: syncMs, syncAtSecond: atSecond });
    }
  }
  return report;
}

if (import.meta.main) {
  const { values } = parseArgs({ options: { folder: { type: "string" } } });
  let isOver = false;
  Deno.stdin.readable.pipeTo(new WritableStream()).finally(() => isOver = true);
  console.log(JSON.stringify(await watch(values.folder!, () => isOver)));
}
