/** What heartbeats report of a worker's progress: one record that outlives memberships. */
import type { Clock } from "../../shared/clock.ts";
import type { Heartbeat } from "../../shared/protocol/messages_worker.ts";
import { newAllReduceStats } from "../allreduce/all_reduce_stats.ts";
import { createThroughput, type Throughput } from "./throughput.ts";

type MicroBatch = { readonly step: number; readonly attempt: number; readonly index: number };

export class Telemetry {
  readonly throughput: Throughput;
  readonly allReduce = newAllReduceStats();
  readonly #clock: Clock;
  #busy: MicroBatch | null = null;
  #busySince = 0;
  /** Since the worker's start. */
  #gpuResets = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.throughput = createThroughput(clock);
  }

  /** The current micro-batch; null for none. */
  setBusy(microBatch: MicroBatch | null): void {
    this.#busy = microBatch;
    this.#busySince = this.#clock.now();
  }

  gpuWasReset(): void {
    this.#gpuResets++;
  }

  report() {
    const { microBatchesDone, tokensPerSecond } = this.throughput;
    const { bytesSent: gradientBytesSent, linkBytesPerSecond } = this.allReduce;
    const busy = this.#busy && { ...this.#busy, sinceMs: Math.max(0, this.#clock.now() - this.#busySince) };
    return {
      busy,
      microBatchesDone,
      tokensPerSecond,
      gradientBytesSent,
      linkBytesPerSecond,
      ...this.#gpuResets > 0 && { gpuResets: this.#gpuResets },
    } satisfies Partial<Heartbeat>;
  }
}
