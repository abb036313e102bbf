/** Workers as the fleet knows them at the moment of the question. */
import type { WorkerView } from "../fleet/fleet.ts";
import type { Clock } from "../../shared/clock.ts";
import type { Metrics } from "./registry.ts";

const STATES = ["joining", "loading", "ready", "working", "draining", "lost"] as const;
const LABELS = ["worker", "name", "gpu"] as const;
type Labels = Readonly<Record<typeof LABELS[number], string>>;

/** Lost workers are counted by their state alone: on spot pods there are new ones every day. */
export function addFleetMetrics(
  metrics: Metrics,
  workers: () => readonly WorkerView[],
  clock: Pick<Clock, "now">,
): void {
  metrics.gauge({ name: "workers", help: "Workers by state", labels: ["state"] }, (gauge) => {
    for (const state of STATES) gauge.set({ state }, 0);
    for (const { state } of workers()) gauge.inc({ state });
  });
  metrics.gauge(
    { name: "workers_quarantined", help: "Workers that get no work for their faults" },
    (gauge) => {
      gauge.set(present(workers()).filter(({ quarantine }) => quarantine !== null).length);
    },
  );
  const perWorker = (name: string, help: string, valueOf: (worker: WorkerView) => number) =>
    metrics.gauge({ name, help, labels: LABELS }, (gauge) => {
      for (const worker of present(workers())) gauge.set(labelsOf(worker), valueOf(worker));
    });
  perWorker("worker_tokens_per_second", "Measured speed", (worker) => worker.tokensPerSecond);
  perWorker("worker_micro_batches", "Micro-batches since it joined", (worker) => worker.microBatchesDone);
  perWorker(
    "worker_gradient_bytes_sent",
    "Gradient payload since it joined",
    (worker) => worker.gradientBytesSent,
  );
  perWorker("worker_gpu_resets", "Resets of its GPU since its start", (worker) => worker.gpuResets);
  metrics.gauge(
    {
      name: "worker_gpu_memory_bytes",
      help: "GPU memory that the loaded job's plan takes, and that it may take",
      labels: [...LABELS, "part"],
    },
    (gauge) => {
      for (const worker of present(workers())) {
        const { plannedBytes, budgetBytes } = worker.gpuMemory ?? { plannedBytes: null, budgetBytes: null };
        const labels = labelsOf(worker);
        if (plannedBytes !== null) gauge.set({ ...labels, part: "planned" }, plannedBytes);
        if (budgetBytes !== null) gauge.set({ ...labels, part: "budget" }, budgetBytes);
      }
    },
  );
  perWorker(
    "worker_heartbeat_age_seconds",
    "Time since its last heartbeat",
    (worker) => Math.max(0, clock.now() - worker.lastHeartbeatAt) / 1000,
  );
}

const present = (workers: readonly WorkerView[]) => workers.filter(({ state }) => state !== "lost");

function labelsOf({ id, name, gpu }: WorkerView): Labels {
  return { worker: id, name, gpu };
}
