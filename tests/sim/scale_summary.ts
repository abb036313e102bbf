/** The report of a run at scale. */
import type { ScaleOptions, ScaleResult } from "./model/scale_run.ts";

/** Whether the job has finished with the undisturbed digest, and nothing lost or doubled. */
export function isRight({ isFinished, lost, doubled, isSameDigest }: ScaleResult): boolean {
  return isFinished && lost === 0 && doubled === 0 && isSameDigest;
}

export function summaryOf(options: ScaleOptions, result: ScaleResult, wallMs: number): string[] {
  const { seed, workerCount, totalSteps, microBatchesPerStep } = options;
  const faultCount = Object.values(result.faultCounts).reduce((sum, count) => sum + count, 0);
  const byType = Object.entries(result.faultCounts).sort(([a], [b]) => a < b ? -1 : 1)
    .map(([type, count]) => `${type} ${count}`).join(", ");
  const { computedCount, neededCount, simulatedMs, stepMs, stepMsUnderFaults, deathToCommitMs } = result;
  const notDone = options.faultCount - faultCount;
  const waste = 100 * (computedCount - neededCount) / neededCount;
  const heartbeatMs = options.limits?.heartbeatIntervalMs;
  return [
    `seed ${seed}`,
    `workers ${workerCount} at the start, ${result.startedCount} in all; a heartbeat every ${heartbeatMs} ms`,
    `faults ${faultCount}${byType === "" ? "" : ` (${byType})`}` +
    (notDone > 0 ? `; the job was done before the other ${notDone}: it takes more --steps` : ""),
    `steps ${totalSteps} of ${microBatchesPerStep} micro-batches, ${
      result.commitCount - totalSteps
    } of them done again after the loss of all state`,
    `simulated ${seconds(simulatedMs)}, wall ${seconds(wallMs)}`,
    `step time: median ${
      seconds(quantile(stepMs, 0.5))
    }; of the ${stepMsUnderFaults.length} that ended among faults ${
      seconds(quantile(stepMsUnderFaults, 0.5))
    }`,
    `a round of ${megabytes(result.wireBytes)} with all at the start: ${seconds(result.firstRoundMs)}`,
    `from a death to the next commit: median ${seconds(quantile(deathToCommitMs, 0.5))}, p95 ${
      seconds(quantile(deathToCommitMs, 0.95))
    } (${deathToCommitMs.length} deaths)`,
    `micro-batches computed ${computedCount}, needed ${neededCount}: ${
      waste.toFixed(1)
    } % more, the first step's probe included`,
    `the broker sent ${megabytes(result.controlBytesOut)} besides gradients: ${
      megabytes(1000 * result.controlBytesOut / simulatedMs)
    }/s`,
    ...result.bookFaults,
    ...result.isFinished ? [] : ["NOT FINISHED; the end of the history:", ...result.lastLines],
    `${result.lost} lost, ${result.doubled} doubled`,
    `digest ${result.digest}, ${result.isSameDigest ? "as" : "NOT as"} undisturbed`,
    `trace ${result.traceHash} (${result.traceLines} lines)`,
  ];
}

/** By the nearest rank; NaN of nothing. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? NaN;
}

function seconds(milliseconds: number): string {
  return Number.isNaN(milliseconds) ? "–" : `${(milliseconds / 1000).toFixed(1)} s`;
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}
