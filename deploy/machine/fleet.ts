/** A fleet on this machine: a coordinator and workers in child processes, joined as on separate machines. */
import { dirname, fromFileUrl, join } from "@std/path";
import type { Clock } from "../../shared/clock.ts";
import { LoraFleetError } from "../../shared/errors.ts";
import { ApiClient } from "../client/api_client.ts";
import type { Child, Children } from "./children.ts";

const START_TIMEOUT_MS = 120_000;
const JOIN_TIMEOUT_MS = 180_000;
const POLL_INTERVAL_MS = 200;

export const repositoryRoot = dirname(dirname(dirname(fromFileUrl(import.meta.url))));

/** `deno run` with one of the permission sets of deno.json, as the tasks do. */
export function runWith(
  permissions: "coordinator" | "worker" | "evaluate",
  checkout = repositoryRoot,
): readonly string[] {
  return ["run", "-q", "--no-prompt", "--config", join(checkout, "deno.json"), `-P=${permissions}`];
}

/** For a worker or an evaluation, on a machine that may have no GPU. */
export function cpuOptions(ignoreGpu: boolean): readonly string[] {
  return ["--allow-cpu", ...(ignoreGpu ? ["--ignore-gpu"] : [])];
}

export interface Fleet {
  readonly api: ApiClient;
  readonly gpuNames: readonly string[];
  readonly workerPids: readonly number[];
  /** Rejects when the coordinator or the last worker ends; never resolves. */
  readonly broken: Promise<never>;
  /** Ends coordinator and workers without calling `onWorkerLost`. */
  stop(): Promise<void>;
}

interface FleetRequest {
  readonly children: Children;
  readonly clock: Clock;
  readonly env: Record<string, string>;
  readonly dataFolder: string;
  /** A folder that the coordinator may take base models from; null: it takes them from the hub. */
  readonly modelRoot: string | null;
  /** No worker of an earlier fleet on this data folder is left: none is waited for. */
  readonly areWorkersGone?: boolean;
  readonly workerCount: number;
  /** Compute on the CPU although the machine has a GPU. */
  readonly ignoreGpu: boolean;
  readonly signal: AbortSignal;
  /** Whose coordinator and workers start. Default: this repository's. */
  readonly checkout?: string;
  /** Called when a worker is lost and others are left. */
  readonly onWorkerLost: (message: string) => void;
}

/** Starts a coordinator alone. */
export async function startCoordinator(
  children: Children,
  env: Record<string, string>,
  { dataFolder, modelRoot, areWorkersGone = false, checkout = repositoryRoot }: Pick<
    FleetRequest,
    "dataFolder" | "modelRoot" | "areWorkersGone" | "checkout"
  >,
): Promise<{ readonly coordinator: Child; readonly joinUrl: string }> {
  const roots = modelRoot === null ? [] : ["--model-roots", modelRoot];
  const grace = areWorkersGone ? ["--state-grace-s", "0"] : [];
  const args = ["--port", "0", "--data-folder", dataFolder, ...roots, ...grace];
  const script = join(checkout, "coordinator/main.ts");
  const command = [...runWith("coordinator", checkout), script, ...args];
  const coordinator = children.start("coordinator", command, env);
  const [, joinUrl] = await coordinator.match(/--join\s+(https?:\/\/\S+)/, START_TIMEOUT_MS);
  return { coordinator, joinUrl: joinUrl! };
}

/** Starts everything and waits until all workers have joined. */
export async function startFleet(request: FleetRequest): Promise<Fleet> {
  const { children, clock, env, workerCount, ignoreGpu, signal, checkout = repositoryRoot } = request;
  const { coordinator, joinUrl } = await startCoordinator(children, env, request);
  const script = join(checkout, "worker/main.ts");
  const args = [...runWith("worker", checkout), script, "--join", joinUrl, ...cpuOptions(ignoreGpu)];
  const workers = Array.from(
    { length: workerCount },
    (_, index) => children.start(`worker-${index + 1}`, args, env),
  );
  const broken = watchFleet(coordinator, workers, request.onWorkerLost);
  const api = new ApiClient(new URL(joinUrl).origin, signal);
  const gpuNames = await Promise.race([waitForWorkers(api, workerCount, clock, signal), broken]);
  const workerPids = workers.map(({ pid }) => pid);
  return { api, gpuNames, workerPids, broken, stop: () => children.stopAll() };
}

/** Rejects when the coordinator or the last worker ends. @param onWorkerLost of a worker that nobody has told to end */
export function watchFleet(
  coordinator: Child,
  workers: readonly Child[],
  onWorkerLost: (message: string) => void,
): Promise<never> {
  const broken = Promise.withResolvers<never>();
  // Not an unhandled rejection while the caller awaits something else.
  broken.promise.catch(() => {});
  const describe = (child: Child, code: number) =>
    `${child.name} ended with exit code ${code}: ${child.lastLine()}`;
  const fail = (message: string) => broken.reject(new LoraFleetError("aborted", message));
  coordinator.ended.then((code) => fail(describe(coordinator, code)));
  let left = workers.length;
  for (const worker of workers) {
    worker.ended.then((code) => {
      left--;
      if (left === 0) fail(describe(worker, code));
      else if (!worker.isStopped()) onWorkerLost(`${describe(worker, code)}; ${left} left`);
    });
  }
  return broken.promise;
}

/** The names of the GPUs, once enough workers have joined. */
async function waitForWorkers(
  api: ApiClient,
  count: number,
  clock: Clock,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const deadline = clock.now() + JOIN_TIMEOUT_MS;
  for (;;) {
    const workers = await api.workers();
    if (workers.length >= count) return workers.map((worker) => worker.gpu);
    if (clock.now() > deadline) {
      const message = `${workers.length} of ${count} workers have joined after ${JOIN_TIMEOUT_MS / 1000} s`;
      throw new LoraFleetError("timeout", message);
    }
    await clock.sleep(POLL_INTERVAL_MS, signal);
  }
}
