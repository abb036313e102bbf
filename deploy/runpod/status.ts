/** `status`: what runs, since when, what it has cost, and what its workers do. */
import { messageOf } from "../../shared/errors.ts";
import { RunPodApi } from "./api/runpod_api.ts";
import { committed, podDollarsPerHour, spent } from "./budget.ts";
import type { CommandWorld, StatusOptions } from "./commands.ts";
import { dollars } from "./dollars.ts";
import { FleetState } from "./fleet_state.ts";
import { isOf, readPodName } from "./names.ts";
import type { Pod } from "./api/schemas.ts";
import { type KnownWorkers, knownWorkers, type PodWorker } from "./workers.ts";

export interface StatusWorld extends CommandWorld {
  /** What a coordinator answers to GET /v1/workers. Throws if it does not. */
  readonly askForWorkers: (coordinator: string) => Promise<unknown>;
}

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
  /** Null: no worker of this pod has joined, or nobody knows. */
  readonly worker: PodWorker | null;
}

export async function status(options: StatusOptions, world: StatusWorld): Promise<void> {
  const { fleet, stateFolder, isJson } = options;
  const { connection, signal, print } = world;
  const now = connection.clock.now();
  const listed = (await new RunPodApi(connection, signal).pods()).filter(({ name }) => isOf(name, fleet));
  using state = await FleetState.read(stateFolder, fleet);
  const coordinator = options.coordinator ?? state.record.coordinator ?? null;
  const { workers, problem } = await lookForWorkers(coordinator, world);
  const pods = listed.map((pod) => {
    const record = state.pods.find(({ name }) => name === pod.name);
    const perHour = record?.dollarsPerHour ?? podDollarsPerHour(pod.cost, 0);
    return statusOf(pod, perHour, now, workers?.of(pod.name) ?? null);
  });
  const { budget, jobId } = state.record;
  const gone = state.pods.filter(({ name }) => !listed.some((pod) => pod.name === name));
  const total = pods.reduce((sum, pod) => sum + pod.dollars, 0) + spent(gone, now);
  const others = workers?.othersThan(pods.map(({ name }) => name)) ?? null;
  if (isJson) {
    const atMost = budget === null ? null : committed(state.pods, now);
    const asked = { coordinator, workers_problem: problem, other_workers: others };
    const all = { fleet, job: jobId, pods, dollars: total, budget, dollars_at_most: atMost, ...asked };
    return print(JSON.stringify(all, null, 2));
  }
  if (pods.length === 0) print(`fleet "${fleet}" has no pods`);
  else {
    print(podTable(pods));
    print(problem ?? `\n${workerTable(pods)}`);
  }
  if (others !== null && others > 0) {
    print(`workers of the coordinator that are on none of these pods: ${others}`);
  }
  const unsure = state.left.filter(({ name }) => !listed.some((pod) => pod.name === name));
  if (unsure.length > 0) {
    print(`not listed, and not confirmed to be gone: ${unsure.map(({ name }) => name).join(", ")}`);
  }
  print(`spent: ${dollars(total)}${budget === null ? "" : ` of ${dollars(budget)}`}`);
}

/** Pods cost money whether the coordinator answers or not, so that its silence is only told. */
async function lookForWorkers(
  coordinator: string | null,
  { askForWorkers, connection, signal }: StatusWorld,
): Promise<{ readonly workers: KnownWorkers | null; readonly problem: string | null }> {
  if (coordinator === null) {
    return { workers: null, problem: "what their workers do is not known: --coordinator says whom to ask" };
  }
  try {
    return { workers: knownWorkers(await askForWorkers(coordinator), connection.clock.now()), problem: null };
  } catch (thrown) {
    signal.throwIfAborted();
    return { workers: null, problem: `what their workers do is not known: ${messageOf(thrown)}` };
  }
}

function statusOf(pod: Pod, perHour: number, now: number, worker: PodWorker | null): PodStatus {
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
    worker,
  };
}

function podTable(pods: readonly PodStatus[]): string {
  const head = ["NAME", "ID", "GPU", "CLOUD", "STATUS", "MIN", "USE", "$/H", "COST"];
  return table(
    head,
    pods.map((pod) => [
      ...[pod.name, pod.id, pod.gpu, pod.cloud, pod.status, pod.minutes.toFixed(0)],
      pod.gpu_utilization === null ? "-" : `${pod.gpu_utilization} %`,
      ...[dollars(pod.dollars_per_hour), dollars(pod.dollars)],
    ]),
  );
}

function workerTable(pods: readonly PodStatus[]): string {
  const rows = pods.map(({ name, minutes, worker }) =>
    worker === null
      ? [name, "-", "-", "-", "-", `none has joined; the pod is ${minutes.toFixed(0)} min old`]
      : [
        ...[name, worker.state, worker.job ?? "-", worker.tokens_per_second.toFixed(0)],
        ...[ago(worker.heard_seconds_ago), worker.reason ?? ""],
      ]
  );
  return table(["WORKER", "STATE", "JOB", "TOKENS/S", "HEARD", ""], rows);
}

const ago = (seconds: number): string =>
  seconds < 120 ? `${seconds.toFixed(0)} s ago` : `${(seconds / 60).toFixed(0)} min ago`;

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((_, column) => Math.max(...[head, ...rows].map((row) => row[column]!.length)));
  const line = (row: readonly string[]) =>
    row.map((cell, column) => cell.padEnd(widths[column]!)).join("  ").trimEnd();
  return [head, ...rows].map(line).join("\n");
}
