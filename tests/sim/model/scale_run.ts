/** One run of a large fleet under the faults of a seed, and its result. */
import { pcg32 } from "../../../shared/prng.ts";
import { apply, drawFaults, type Fault, type FaultMix } from "../fault_plan.ts";
import { undisturbedDigests } from "./world/contribution.ts";
import { roundMs } from "./world/link_model.ts";
import { createModelFleet, type ModelFleetOptions } from "./model_fleet.ts";

export interface ScaleOptions extends ModelFleetOptions {
  readonly workerCount: number;
  readonly faultCount: number;
  readonly faultMix: FaultMix;
  /** Time over which faults are spread, once all workers have started. */
  readonly faultsWithinMs: number;
  /** Workers start one after the other within this time. */
  readonly startWithinMs: number;
  /** Limit of the run, in the fleet's time. */
  readonly withinMs: number;
}

export interface ScaleResult {
  readonly isFinished: boolean;
  readonly faultCounts: Readonly<Partial<Record<Fault["type"], number>>>;
  readonly commitCount: number;
  readonly simulatedMs: number;
  /** From one commit to the next. */
  readonly stepMs: readonly number[];
  /** Those that ended before the last fault. */
  readonly stepMsUnderFaults: readonly number[];
  /** Workers that were ever started. */
  readonly startedCount: number;
  /** Bytes of a gradient on the wire. */
  readonly wireBytes: number;
  /** Time of the first round without interruptions. */
  readonly firstRoundMs: number;
  /** From each death of a worker to the next commit. */
  readonly deathToCommitMs: readonly number[];
  readonly computedCount: number;
  readonly neededCount: number;
  readonly lost: number;
  readonly doubled: number;
  /** Faults that the books have found, in words. */
  readonly bookFaults: readonly string[];
  readonly digest: string | null;
  readonly undisturbedDigest: string;
  readonly isSameDigest: boolean;
  readonly controlBytesOut: number;
  readonly traceLines: number;
  readonly traceHash: string;
  /** The end of the history, oldest first. */
  readonly lastLines: readonly string[];
}

export async function runAtScale(options: ScaleOptions): Promise<ScaleResult> {
  const { seed, workerCount, faultCount, faultsWithinMs, startWithinMs, withinMs } = options;
  const { totalSteps, microBatchesPerStep } = options;
  const fleet = createModelFleet(options);
  const { trace } = fleet;
  const faultCounts: Partial<Record<Fault["type"], number>> = {};
  const deaths: number[] = [];
  let lastFaultAt = 0;

  fleet.startCoordinator();
  for (let index = 0; index < workerCount; index++) {
    await fleet.passUntil(Math.floor(index * startWithinMs / workerCount));
    fleet.startWorker();
  }
  const links = fleet.workers.map(({ link }) => link.speed);
  const firstRoundMs = roundMs(links, links.map(() => 1), fleet.wireBytes, options.broker);
  for (const { atMs, fault } of drawFaults(pcg32(seed, 1), faultCount, faultsWithinMs, options.faultMix)) {
    await fleet.passUntil(startWithinMs + atMs);
    if (fleet.isDone) break;
    trace.note("fault", apply(fleet, fault));
    lastFaultAt = fleet.elapsedMs;
    faultCounts[fault.type] = (faultCounts[fault.type] ?? 0) + 1;
    if (fault.type === "kill") deaths.push(fleet.elapsedMs);
  }
  // A job without a worker never ends.
  if (!fleet.isDone && !fleet.workers.some(({ isAlive, isDrained }) => isAlive && !isDrained)) {
    fleet.startWorker();
  }
  await fleet.passUntil(withinMs);

  const stepMs = fleet.committedAt.slice(1).map((at, index) => at - fleet.committedAt[index]!);
  const undisturbed = undisturbedDigests(totalSteps, microBatchesPerStep);
  const digests = new Map(fleet.steps.map(({ step, digest }) => [step, digest]));
  const { lost, doubled, faults } = fleet.books.balance();
  return {
    isFinished: fleet.isDone,
    faultCounts,
    commitCount: fleet.steps.length,
    simulatedMs: fleet.elapsedMs,
    stepMs,
    stepMsUnderFaults: stepMs.filter((_, index) => fleet.committedAt[index + 1]! <= lastFaultAt),
    startedCount: fleet.workers.length,
    wireBytes: fleet.wireBytes,
    firstRoundMs,
    deathToCommitMs: deaths.flatMap((at) => {
      const next = fleet.committedAt.find((committed) => committed >= at);
      return next === undefined ? [] : [next - at];
    }),
    computedCount: fleet.computedCount,
    neededCount: totalSteps * microBatchesPerStep,
    lost,
    doubled,
    bookFaults: faults,
    digest: digests.get(totalSteps) ?? null,
    undisturbedDigest: undisturbed.at(-1)!,
    isSameDigest: undisturbed.every((digest, index) => digests.get(index + 1) === digest),
    controlBytesOut: fleet.controlBytesOut,
    traceLines: trace.lineCount,
    traceHash: trace.hash(),
    lastLines: trace.last(40),
  };
}
