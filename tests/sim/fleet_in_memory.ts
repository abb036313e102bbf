/**
 * A whole fleet in one process: the real coordinator's fleet, real agents with toy engines, the real all-reduce, over the broker in
 * memory, with a clock that jumps. Processes can be killed, stalled and cut off at any moment; the same seed gives the same
 * history.
 */
import type { StepReport, WorkerView } from "../../coordinator/fleet/fleet.ts";
import { createFakeClock, type FakeClock } from "../../shared/testing/fake_clock.ts";
import type { Bus } from "../../shared/bus/bus.ts";
import { createMemoryBroker, type MemoryBroker } from "../../shared/testing/memory_bus.ts";
import { LoraFleetError, messageOf } from "../../shared/errors.ts";
import { LIMITS, type Limits } from "../../shared/protocol/limits.ts";
import { pcg32, type Prng } from "../../shared/prng.ts";
import { type Agent, startAgent } from "../../worker/fleet/agent.ts";
import type { Engine } from "../../worker/engine/engine.ts";
import { readStateWords, stateWordCount } from "../../worker/recovery/state_words.ts";
import { createToyEngine, type ToyEngineOptions } from "../../worker/testing/toy_engine.ts";
import {
  type CoordinatorInMemory,
  type CoordinatorInMemoryOptions,
  createCoordinatorInMemory,
} from "./coordinator_in_memory.ts";
import { createLink, type Link } from "./link.ts";
import { createMemoryArtifacts, type MemoryArtifacts } from "./memory_artifacts.ts";
import { createToyJob, type ToyJobOptions } from "./toy_job.ts";

/** The gap of the event loop is no matter of a clock that jumps. */
export const SIM_LIMITS: Limits = { ...LIMITS, eventLoopTickMs: 1000 };

export interface FleetInMemoryOptions extends ToyJobOptions {
  readonly seed: number;
  /** How long a micro-batch takes on each worker, between these two. */
  readonly computeMs: readonly [least: number, most: number];
  readonly limits?: Limits;
  /** What is special about a worker's engine. */
  readonly engineOf?: (worker: string) => Partial<ToyEngineOptions>;
  readonly onCheckpoint?: CoordinatorInMemoryOptions["onCheckpoint"];
  /** What a worker's connections do besides; `purpose` is "control" or "gradients". */
  readonly busOf?: (worker: string, bus: Bus, purpose: string) => Bus;
  /** How the job's adapter has to lie in memory; left out: workers are believed. */
  readonly layoutOf?: CoordinatorInMemoryOptions["layoutOf"];
  /** How a worker describes its GPU; "toy". */
  readonly gpuOf?: (worker: string) => string;
}

export interface SimWorker {
  readonly id: string;
  readonly link: Link;
  readonly agent: Agent;
  isAlive: boolean;
  /** It is leaving, or has left. */
  isDrained: boolean;
  drain(): void;
}

export interface FleetInMemory {
  readonly clock: FakeClock;
  readonly broker: MemoryBroker;
  readonly artifacts: MemoryArtifacts;
  readonly random: Prng;
  readonly workers: readonly SimWorker[];
  /** What was committed, in order; a step that is committed again after the loss of all state stands here again. */
  readonly steps: readonly StepReport[];
  /** As the API would show them. */
  workerViews(): readonly WorkerView[];
  reinstate(worker: string): void;
  checkpointDamaged: CoordinatorInMemory["checkpointDamaged"];
  /** Everything that a user was told and the workers logged, with its time. */
  readonly history: readonly string[];
  readonly isDone: boolean;
  startWorker(): SimWorker;
  kill(worker: SimWorker): void;
  /** The coordinator dies without a word. */
  killCoordinator(): void;
  startCoordinator(): void;
  stallCoordinator(): () => void;
  pauseJob(): void;
  resumeJob(): void;
  readonly isCoordinatorAlive: boolean;
  /** Lets time pass until the job is done. Throws with the history where it takes longer, or fails. */
  finish(withinMs: number): Promise<void>;
  close(): Promise<void>;
}

export function createFleetInMemory(options: FleetInMemoryOptions): FleetInMemory {
  const { seed, computeMs: [least, most], limits = SIM_LIMITS } = options;
  const random = pcg32(seed);
  const clock = createFakeClock(1_700_000_000_000);
  const broker = createMemoryBroker({ clock, maxPayloadBytes: 2 ** 20 });
  const artifacts = createMemoryArtifacts();
  const job = createToyJob(options);
  const history: string[] = [];
  const workers: SimWorker[] = [];
  let workerFailure: unknown = null;

  const note = (who: string, what: string) =>
    void history.push(`${clock.now() - 1_700_000_000_000} ${who}: ${what}`);

  const { onCheckpoint, layoutOf } = options;
  const coordinator = createCoordinatorInMemory({
    ...onCheckpoint === undefined ? {} : { onCheckpoint },
    ...layoutOf === undefined ? {} : { layoutOf },
    broker,
    clock,
    random,
    job,
    artifacts,
    limits,
    note,
  });

  function startWorker(): SimWorker {
    const id = `w-${workers.length}`;
    const link = createLink(clock, pcg32(random.uint32()));
    const pace = least + random.uniform() * (most - least);
    let incarnations = 0;
    const agent = startAgent({
      worker: id,
      name: id,
      gpu: options.gpuOf?.(id) ?? "toy",
      newIncarnation: () => `i-${id}-${++incarnations}`,
      join: () =>
        coordinator.isAlive && !link.isCut
          ? Promise.resolve({
            ...{ natsUrl: "nats://memory", natsUser: "worker", natsPassword: "secret" },
            ...{ httpUrl: "http://coordinator", token: "token", coordinatorId: "c-1" },
          })
          : Promise.reject(new LoraFleetError("timeout", "nobody answers at the join URL")),
      connect: (_reply, purpose) => {
        const bus = broker.connect(`${id} ${purpose}`);
        return Promise.resolve(link.wrap(options.busOf?.(id, bus, purpose) ?? bus));
      },
      newEngine: () =>
        createToyEngine({
          clock: link.clock,
          delayMs: (call) =>
            call === "computeGradient" ? Math.round(pace * (0.8 + 0.4 * random.uniform())) : 0,
          ...options.engineOf?.(id),
        }),
      engineLimits: { allowCpu: true, memoryBudgetBytes: null },
      findBaseModel: (_reply, announced) => Promise.resolve(announced.modelFolder),
      writeCheckpoint: async (_reply, engine, announced, step) => {
        const state = await (engine as Engine).exportState();
        const count = stateWordCount(state.adapter.length);
        const adapter = new Uint8Array(state.adapter.slice().buffer);
        return artifacts.store(announced.jobId, step, id, adapter, readStateWords(state, 0, count));
      },
      clock: link.clock,
      limits,
      log: (level, message) => note(id, `${level}: ${message}`),
    });
    agent.ended.catch((thrown) => {
      if (worker.isAlive) workerFailure = thrown;
    });
    const worker: SimWorker = {
      ...{ id, link, agent, isAlive: true, isDrained: false },
      drain: () => {
        worker.isDrained = true;
        agent.drain();
      },
    };
    workers.push(worker);
    return worker;
  }

  function kill(worker: SimWorker): void {
    worker.isAlive = false;
    worker.link.kill();
    void worker.agent.stop();
  }

  async function finish(withinMs: number): Promise<void> {
    const deadline = clock.now() + withinMs;
    const failure = () => workerFailure ?? coordinator.failure;
    while (!coordinator.isDone && failure() === null && clock.now() < deadline) await clock.advance(50);
    if (coordinator.isDone) return;
    const last = history.slice(-60).join("\n");
    const why = failure() === null ? `it is not done after ${withinMs} ms` : messageOf(failure());
    throw new Error(`seed ${seed}: ${why}\n${last}`);
  }

  return {
    ...{
      clock,
      broker,
      artifacts,
      random,
      workers,
      steps: coordinator.steps,
      history,
      startWorker,
      kill,
      finish,
    },
    startCoordinator: () => coordinator.start(),
    killCoordinator: () => coordinator.kill(),
    stallCoordinator: () => coordinator.stall(),
    pauseJob: () => coordinator.pauseJob(),
    resumeJob: () => coordinator.resumeJob(),
    workerViews: () => coordinator.workerViews(),
    reinstate: (worker) => coordinator.reinstate(worker),
    checkpointDamaged: (step) => coordinator.checkpointDamaged(step),
    get isDone() {
      return coordinator.isDone;
    },
    get isCoordinatorAlive() {
      return coordinator.isAlive;
    },
    async close() {
      for (const worker of workers) if (worker.isAlive) kill(worker);
      coordinator.kill();
      await clock.advance(5000);
    },
  };
}
