/** `status`: what runs, since when, and what it has cost. */
import { RunPodApi } from "./api/runpod_api.ts";
import { committed, podDollarsPerHour, spent } from "./budget.ts";
import type { CommandWorld, StatusOptions } from "./commands.ts";
import { dollars } from "./dollars.ts";
import { FleetState } from "./fleet_state.ts";
import { isOf, readPodName } from "./names.ts";
import type { Pod } from "./api/schemas.ts";

interface PodStatus {
  readonly name: string;
  readonly id: string;
  readonly gpu: string;
  readonly cloud: string;
  /** RunPod's. */
  readonly status: string;
  readonly job: string | null;
  readonly minutes: number;
  readonly dollars_per_hour: number;
  readonly dollars: number;
  /** Percent; null if RunPod does not say. */
  readonly gpu_utilization: number | null;
}

export async function status(
  { fleet, stateFolder, isJson }: StatusOptions,
  { connection, signal, print }: CommandWorld,
) {
  const now = connection.clock.now();
  const listed = (await new RunPodApi(connection, signal).pods()).filter(({ name }) => isOf(name, fleet));
  using state = await FleetState.read(stateFolder, fleet);
  const pods = listed.map((pod) => {
    const record = state.pods.find(({ name }) => name === pod.name);
    return statusOf(pod, record?.dollarsPerHour ?? podDollarsPerHour(pod.cost, 0), now);
  });
  const { budget, jobId } = state.record;
  const gone = state.pods.filter(({ name }) => !listed.some((pod) => pod.name === name));
  const total = pods.reduce((sum, pod) => sum + pod.dollars, 0) + spent(gone, now);
  if (isJson) {
    const atMost = budget === null ? null : committed(state.pods, now);
    return print(
      JSON.stringify({ fleet, job: jobId, pods, dollars: total, budget, dollars_at_most: atMost }, null, 2),
    );
  }
  if (pods.length === 0) print(`fleet "${fleet}" has no pods`);
  else print(table(pods));
  const unsure = state.left.filter(({ name }) => !listed.some((pod) => pod.name === name));
  if (unsure.length > 0) {
    print(`not listed, and not confirmed to be gone: ${unsure.map(({ name }) => name).join(", ")}`);
  }
  print(`spent: ${dollars(total)}${budget === null ? "" : ` of ${dollars(budget)}`}`);
}

function statusOf(pod: Pod, perHour: number, now: number): PodStatus {
  const minutes = Math.max(0, now - Date.parse(pod.createdAt)) / 60_000;
  return {
    ...{
      name: pod.name,
      id: pod.id,
      gpu: pod.gpu?.id ?? "?",
      cloud: pod.cloud.toLowerCase(),
      status: pod.status,
    },
    job: readPodName(pod.name)?.jobId ?? null,
    ...{ minutes, dollars_per_hour: perHour, dollars: perHour * minutes / 60 },
    gpu_utilization: pod.runtime?.gpus?.[0]?.util ?? null,
  };
}

function table(pods: readonly PodStatus[]): string {
  const head = ["NAME", "ID", "GPU", "CLOUD", "STATUS", "MIN", "USE", "$/H", "COST"];
  const rows = pods.map((pod) => [
    ...[pod.name, pod.id, pod.gpu, pod.cloud, pod.status, pod.minutes.toFixed(0)],
    pod.gpu_utilization === null ? "-" : `${pod.gpu_utilization} %`,
    ...[dollars(pod.dollars_per_hour), dollars(pod.dollars)],
  ]);
  const widths = head.map((_, column) => Math.max(...[head, ...rows].map((row) => row[column]!.length)));
  const line = (row: readonly string[]) =>
    row.map((cell, column) => cell.padEnd(widths[column]!)).join("  ").trimEnd();
  return [head, ...rows].map(line).join("\n");
}
