/** What heartbeats report of a worker's progress: one record that outlives memberships. */
import type { Clock } from "../../shared/clock.ts";
import type { Heartbeat } from "../../shared/protocol/messages_worker.ts";
import { type AllReduceStats, newAllReduceStats } from "../allreduce/all_reduce_stats.ts";
import { createThroughput, type Throughput } from "./throughput.ts";

export interface Telemetry {
  readonly throughput: Throughput;
  readonly allReduce: AllReduceStats;
  /** The micro-batch under way; null for none. */
  setBusy(
    microBatch: { readonly step: number; readonly attempt: number; readonly index: number } | null,
  ): void;
  report(): Pick<
    Heartbeat,
    "busy" | "microBatchesDone" | "tokensPerSecond" | "gradientBytesSent" | "linkBytesPerSecond"
  >;
}

export function createTelemetry(clock: Clock): Telemetry {
  const throughput = createThroughput(clock);
  const allReduce = newAllReduceStats();
  let busy: Parameters<Telemetry["setBusy"]>[0] = null;
  let busySince = 0;
  return {
    throughput,
    allReduce,
    setBusy: (microBatch) => {
      busy = microBatch;
      busySince = clock.now();
    },
    report: () => ({
      busy: busy && { ...busy, sinceMs: Math.max(0, clock.now() - busySince) },
      microBatchesDone: throughput.microBatchesDone,
      tokensPerSecond: throughput.tokensPerSecond,
      gradientBytesSent: allReduce.bytesSent,
      linkBytesPerSecond: allReduce.linkBytesPerSecond,
    }),
  };
}
