/** A fleet of processes under faults: coordinators on one data folder, their broker, workers behind proxies. */
import { systemClock } from "../../shared/clock.ts";
import { pcg32, type Prng } from "../../shared/prng.ts";
import { freePort, natsPidOf } from "../integration/coordinator_child.ts";
import type { Line } from "./book_engine.ts";
import { Leaders } from "./leaders.ts";
import { createWatch, type Watch } from "./watch.ts";
import { startWorkerChild, type WorkerChild } from "./worker_child.ts";

export interface ChaosFleetOptions {
  readonly folder: string;
  readonly random: Prng;
  readonly engine: "toy" | "gpu";
  readonly gradientMs: number;
}

export interface ChaosFleet extends AsyncDisposable {
  readonly api: string;
  readonly watch: Watch;
  readonly lines: readonly Line[];
  readonly workers: readonly WorkerChild[];
  /** Running workers: neither ended, stopped nor asked to leave. */
  present(): WorkerChild[];
  startWorker(): WorkerChild;
  /** Calls back when a worker publishes the next all-gather chunk, before the chunk is passed on. */
  atNextAllGather(callback: (owner: WorkerChild) => void): void;
  /** Returns the moment of its death; its successor runs or is starting by then. */
  killCoordinator(standsBy: boolean): Promise<number>;
  stopCoordinatorFor(milliseconds: number): void;
  killBroker(): Promise<void>;
  /** Standard error of all coordinators and workers. */
  stderr(): string;
}

export async function startChaosFleet(options: ChaosFleetOptions): Promise<ChaosFleet> {
  const { folder, random, engine, gradientMs } = options;
  const [port, natsPort] = [freePort(), freePort()];
  const dataFolder = `${folder}/data`;
  const watch = createWatch(systemClock.now);
  const lines: Line[] = [];
  const workers: WorkerChild[] = [];
  let atNextAllGather: ((owner: WorkerChild) => void) | null = null;

  const leaders = new Leaders(dataFolder, ["--port", String(port), "--nats-port", String(natsPort)]);
  const joinUrl = await leaders.current.joinUrl();

  function startWorker(): WorkerChild {
    const name = `worker-${workers.length + 1}`;
    const worker = startWorkerChild({
      ...{ name, joinUrl, natsPort, engine, gradientMs, cacheFolder: `${folder}/${name}` },
      random: pcg32(random.uint32()),
      onLine: (line) => lines.push(line),
      onPublished: (worker, subject, payload) => {
        watch.published(subject, payload);
        if (!/^lf\.[^.]+\.gradients\.\d+\.all_gather\./.test(subject) || !worker.isThere) return;
        const callback = atNextAllGather;
        atNextAllGather = null;
        callback?.(worker);
      },
      onDelivered: watch.delivered,
    });
    workers.push(worker);
    return worker;
  }

  return {
    api: leaders.current.api(),
    watch,
    lines,
    workers,
    present: () => workers.filter((worker) => worker.isThere && !worker.isStopped),
    startWorker,
    atNextAllGather: (callback) => void (atNextAllGather = callback),
    killCoordinator: (standsBy) => leaders.kill(standsBy),
    stopCoordinatorFor: (milliseconds) => leaders.stopFor(milliseconds),
    async killBroker() {
      Deno.kill((await natsPidOf(dataFolder))!, "SIGKILL");
    },
    stderr: () =>
      [...leaders.stderr(), ...workers.map(({ name, id, stderr }) => `${name}, ${id}:\n${stderr}`)].join(
        "\n",
      ),
    async [Symbol.asyncDispose]() {
      for (const worker of workers) worker.kill();
      await Promise.all(workers.map(({ ended }) => ended));
      await leaders[Symbol.asyncDispose]();
    },
  };
}
