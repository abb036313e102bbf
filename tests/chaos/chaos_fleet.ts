/** A fleet of processes that faults are done to: coordinators on one data folder, its broker, workers behind proxies. */
import { systemClock } from "../../shared/clock.ts";
import { pcg32, type Prng } from "../../shared/prng.ts";
import {
  type CoordinatorChild,
  freePort,
  natsPidOf,
  startCoordinatorChild,
  until,
} from "../integration/coordinator_child.ts";
import type { Line } from "./book_engine.ts";
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
  /** Those that neither ended nor were told to. */
  present(): WorkerChild[];
  startWorker(): WorkerChild;
  /** Calls back as a worker allGathers the first chunk of the range that it owns, before the chunk is passed on. */
  atNextAllGather(callback: (owner: WorkerChild) => void): void;
  /** Gives the moment of its death; another one is there or being started when this resolves. */
  killCoordinator(standsBy: boolean): Promise<number>;
  stopCoordinatorFor(milliseconds: number): void;
  killBroker(): Promise<void>;
  /** What the coordinators and the workers have said on standard error. */
  said(): string;
}

/** Whoever watches over a coordinator starts it again after so long. */
const RESTART_MS = 300;

export async function startChaosFleet(options: ChaosFleetOptions): Promise<ChaosFleet> {
  const { folder, random, engine, gradientMs } = options;
  const [port, natsPort] = [freePort(), freePort()];
  const dataFolder = `${folder}/data`;
  const watch = createWatch(systemClock.now);
  const lines: Line[] = [];
  const workers: WorkerChild[] = [];
  const coordinators: CoordinatorChild[] = [];
  let atNextAllGather: ((owner: WorkerChild) => void) | null = null;

  function startCoordinator(): CoordinatorChild {
    const args = ["--port", String(port), "--nats-port", String(natsPort)];
    const child = startCoordinatorChild(dataFolder, args);
    coordinators.push(child);
    return child;
  }
  let leader = startCoordinator();
  const joinUrl = await leader.joinUrl();

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

  async function killCoordinator(standsBy: boolean): Promise<number> {
    const dying = leader;
    if (standsBy) {
      leader = startCoordinator();
      await until("its word", () => leader.stderr().includes("standing by"), leader.stderr);
    }
    dying.kill("SIGKILL");
    const killedAt = systemClock.now();
    if (!standsBy) {
      await systemClock.sleep(RESTART_MS);
      leader = startCoordinator();
    }
    return killedAt;
  }

  return {
    api: leader.api(),
    watch,
    lines,
    workers,
    present: () => workers.filter((worker) => worker.isThere && !worker.isStopped),
    startWorker,
    atNextAllGather: (callback) => void (atNextAllGather = callback),
    killCoordinator,
    stopCoordinatorFor(milliseconds) {
      const stopped = leader;
      stopped.kill("SIGSTOP");
      setTimeout(() => stopped.kill("SIGCONT"), milliseconds);
    },
    async killBroker() {
      Deno.kill((await natsPidOf(dataFolder))!, "SIGKILL");
    },
    said: () =>
      [
        ...coordinators.map((coordinator, index) => `coordinator ${index + 1}:\n${coordinator.stderr()}`),
        ...workers.map(({ name, id, said }) => `${name}, ${id}:\n${said}`),
      ].join("\n"),
    async [Symbol.asyncDispose]() {
      for (const worker of workers) worker.kill();
      await Promise.all(workers.map(({ ended }) => ended));
      // The newest first: the broker is its own.
      for (const coordinator of coordinators.toReversed()) await coordinator[Symbol.asyncDispose]();
    },
  };
}
