/**
 * A day of a fleet in simulated time: an hour-long job after the other in one process, under faults of a seed each, with digests
 * that have to be those of an undisturbed run. Prints memory and open files after each hour: both have to stay flat.
 *
 *     deno task soak:day [--hours 24] [--seed 1]
 */
import { parseArgs } from "node:util";
import { systemClock } from "../../shared/clock.ts";
import { exitWithHelp } from "../documents/head_help.ts";
import { MIX_WITH_PAUSES } from "./fault_plan.ts";
import { soak, type SoakOptions } from "./soak.ts";

const HOUR_MS = 3_600_000;
/** About an hour with what faults cost. */
const STEPS = 800;

export interface SoakedHour {
  readonly hour: number;
  readonly simulatedMs: number;
  readonly commitCount: number;
  readonly faultCount: number;
  readonly residentBytes: number;
  /** Null where the system does not say. */
  readonly openFiles: number | null;
}

const job = (steps: number): Omit<SoakOptions, "seed"> => ({
  totalSteps: steps,
  microBatchesPerStep: 8,
  checkpointEvery: 25,
  computeMs: [1000, 3000],
  workerCount: 4,
  faultCount: Math.round(steps / 8),
  faultsWithinMs: HOUR_MS * steps / STEPS,
  withinMs: 24 * HOUR_MS,
});

/** Soaks until so many hours have passed. Throws if a digest differs, or a job does not end. */
export async function* soakHours(
  hours: number,
  seed: number,
  steps: number = STEPS,
): AsyncGenerator<SoakedHour> {
  const options = job(steps);
  const { digests: expected } = await soak({ ...options, seed: 0, faultCount: 0, workerCount: 1 });
  let simulatedMs = 0;
  for (let hour = 1; simulatedMs < hours * HOUR_MS; hour++) {
    const result = await soak({ ...options, seed: seed + hour, mix: MIX_WITH_PAUSES });
    if (result.digests.join() !== expected.join()) throw new Error(`seed ${seed + hour}: the digests differ`);
    simulatedMs += result.simulatedMs;
    yield {
      ...{ hour, simulatedMs, commitCount: result.commitCount, faultCount: result.faults.length },
      residentBytes: Deno.memoryUsage().rss,
      openFiles: openFiles(),
    };
  }
}

function openFiles(): number | null {
  try {
    return [...Deno.readDirSync("/proc/self/fd")].length;
  } catch {
    return null;
  }
}

if (import.meta.main) {
  exitWithHelp(import.meta.url);
  const { values } = parseArgs({
    options: { hours: { type: "string", default: "24" }, seed: { type: "string", default: "1" } },
  });
  const startedAt = systemClock.now();
  console.log(`soak:day --hours ${values.hours} --seed ${values.seed}`);
  console.log("job  simulated h  commits  faults  RSS MiB  open files  seconds");
  for await (const one of soakHours(Number(values.hours), Number(values.seed))) {
    const cells = [
      String(one.hour).padStart(3),
      (one.simulatedMs / HOUR_MS).toFixed(2).padStart(11),
      String(one.commitCount).padStart(7),
      String(one.faultCount).padStart(6),
      (one.residentBytes / 2 ** 20).toFixed(0).padStart(7),
      String(one.openFiles ?? "?").padStart(10),
      ((systemClock.now() - startedAt) / 1000).toFixed(0).padStart(7),
    ];
    console.log(cells.join("  "));
  }
  console.log("all digests are those of the undisturbed run");
}
