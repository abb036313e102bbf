/**
 * A whole fleet in one process: the real coordinator's fleet, real agents with toy engines and the real all-reduce over the
 * broker in memory, with a clock that jumps. Tests kill, stall and cut off processes at any moment; a seed gives one history.
 */
import type { StepReport, WorkerView } from "../../coordinator/fleet/fleet.ts";
import { createFakeClock, type FakeClock } from "../../shared/testing/fake_clock.ts";
import { createMemoryBroker, type MemoryBroker } from "../../shared/testing/memory_bus.ts";
import { messageOf } from "../../shared/errors.ts";
import { pcg32, type Prng } from "../../shared/prng.ts";
import { type CoordinatorInMemory, createCoordinatorInMemory } from "./coordinator_in_memory.ts";
import { createMemoryArtifacts, type MemoryArtifacts } from "./memory_artifacts.ts";
import { type FleetInMemoryOptions, SIM_LIMITS, type SimWorker, startSimWorker } from "./sim_worker.ts";
import { createToyJob } from "./toy_job.ts";

export interface FleetInMemory {
  readonly clock: FakeClock;
  readonly broker: MemoryBroker;
  readonly artifacts: MemoryArtifacts;
  readonly random: Prng;
  readonly workers: readonly SimWorker[];
  /** All commits in order; a step committed again after the loss of all state is here again. */
  readonly steps: readonly StepReport[];
  readonly evaluations: CoordinatorInMemory["evaluations"];
  /** As the API shows them. */
  workerViews(): readonly WorkerView[];
  reinstate(worker: string): void;
  checkpointDamaged: CoordinatorInMemory["checkpointDamaged"];
  /** Every event and every log line of a worker, with its time. */
  readonly history: readonly string[];
  readonly isDone: boolean;
  startWorker(): SimWorker;
  kill(worker: SimWorker): void;
  killCoordinator(): void;
  startCoordinator(): void;
  stallCoordinator(): () => void;
  pauseJob(): void;
  resumeJob(): void;
  readonly isCoordinatorAlive: boolean;
  /** Lets time pass until the job is done. Throws with the history if it fails or takes longer. */
  finish(withinMs: number): Promise<void>;
  close(): Promise<void>;
}

const BEGINNING = 1_700_000_000_000;

export function createFleetInMemory(options: FleetInMemoryOptions): FleetInMemory {
  const { seed, limits = SIM_LIMITS } = options;
  const random = pcg32(seed);
  const clock = createFakeClock(BEGINNING);
  const broker = createMemoryBroker({ clock, maxPayloadBytes: 2 ** 20 });
  const artifacts = createMemoryArtifacts();
  const job = createToyJob(options);
  const history: string[] = [];
  const workers: SimWorker[] = [];
  let workerFailure: unknown = null;

  const note = (who: string, what: string) => void history.push(`${clock.now() - BEGINNING} ${who}: ${what}`);

  const { onCheckpoint, layoutOf } = options;
  const coordinator = createCoordinatorInMemory({
    ...onCheckpoint === undefined ? {} : { onCheckpoint },
    ...layoutOf === undefined ? {} : { layoutOf },
    ...{ broker, clock, random, job, artifacts, limits, note },
  });

  function startWorker(): SimWorker {
    const worker = startSimWorker(`w-${workers.length}`, {
      ...{ fleet: options, clock, broker, random, artifacts, note },
      isCoordinatorAlive: () => coordinator.isAlive,
      onFailure: (thrown) => workerFailure = thrown,
    });
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
    ...{ clock, broker, artifacts, random, workers, history, startWorker, kill, finish },
    ...{ steps: coordinator.steps, evaluations: coordinator.evaluations },
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
