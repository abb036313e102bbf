/**
 * A whole fleet in one process: the real coordinator's fleet, real agents with toy engines, the real all-reduce, over the broker in
 * memory, with a clock that jumps. Processes can be killed, stalled and cut off at any moment; the same seed gives the same
 * history.
 */
import type { JobObserver, StepReport, WorkerView } from "../../coordinator/fleet.ts";
import { createFleet, type RunningFleet } from "../../coordinator/job_runner.ts";
import { createMemoryQuarantineStore } from "../../coordinator/quarantines.ts";
import { createFakeClock, type FakeClock } from "../../shared/bus/fake_clock.ts";
import { createMemoryBroker } from "../../shared/bus/memory_bus.ts";
import { LoraFleetError, messageOf } from "../../shared/errors.ts";
import { LIMITS, type Limits } from "../../shared/limits.ts";
import { pcg32, type Prng } from "../../shared/prng.ts";
import { type Agent, startAgent } from "../../worker/agent.ts";
import type { Engine } from "../../worker/engine/engine.ts";
import { readStateWords, stateWordCount } from "../../worker/state_words.ts";
import { createToyEngine, type ToyEngineOptions } from "../../worker/toy_engine.ts";
import { createLink, type Link } from "./link.ts";
import { createMemoryArtifacts } from "./memory_artifacts.ts";
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
}

export interface FleetInMemory {
  readonly clock: FakeClock;
  readonly random: Prng;
  readonly workers: readonly SimWorker[];
  /** What was committed, in order; a step that is committed again after the loss of all state stands here again. */
  readonly steps: readonly StepReport[];
  /** As the API would show them. */
  workerViews(): readonly WorkerView[];
  reinstate(worker: string): void;
  /** Everything that a user was told and the workers logged, with its time. */
  readonly history: readonly string[];
  readonly isDone: boolean;
  startWorker(): SimWorker;
  kill(worker: SimWorker): void;
  /** The coordinator dies without a word. */
  killCoordinator(): void;
  startCoordinator(): void;
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
  const quarantines = createMemoryQuarantineStore();
  const job = createToyJob(options);
  const history: string[] = [];
  const workers: SimWorker[] = [];
  const steps: StepReport[] = [];
  /** What a disk remembers over the coordinator's restarts. */
  const told = { step: 0, checkpointSteps: new Set<number>() };
  let coordinator:
    | { readonly fleet: RunningFleet; readonly link: Link; readonly stop: AbortController }
    | null = null;
  let starts = 0;
  let isDone = false;
  let failure: unknown = null;

  const note = (who: string, what: string) =>
    void history.push(`${clock.now() - 1_700_000_000_000} ${who}: ${what}`);

  const observer: JobObserver = {
    starting(committedStep) {
      note("coordinator", `starts after step ${committedStep}`);
      told.step = Math.min(told.step, committedStep);
      if (committedStep === 0) told.checkpointSteps.clear();
      return Promise.resolve({ step: told.step, checkpointSteps: [...told.checkpointSteps] });
    },
    microBatchExcluded: (step, { index, workers }) =>
      note("event", `excluded: micro-batch ${index} of step ${step} by ${workers.join(", ")}`),
    event: (level, message) => note("event", `${level}: ${message}`),
    stepCommitted(report) {
      told.step = report.step;
      steps.push(report);
      note("coordinator", `step ${report.step} is committed: ${report.digest.slice(0, 8)}`);
      return Promise.resolve();
    },
    checkpointWritten(step) {
      told.checkpointSteps.add(step);
      return Promise.resolve();
    },
  };

  function startCoordinator(): void {
    const link = createLink(clock, pcg32(random.uint32()));
    const stop = new AbortController();
    const fleet = createFleet({
      bus: link.wrap(broker.connect("coordinator")),
      clock: link.clock,
      coordinatorId: "c-1",
      artifacts,
      quarantines,
      limits,
      newStartId: () => `s-${++starts}`,
      onDefect: (message, thrown) => note("coordinator", `${message}: ${messageOf(thrown)}`),
    });
    coordinator = { fleet, link, stop };
    fleet.train(job, observer, stop.signal).then(
      () => isDone = true,
      (thrown) => {
        if (!stop.signal.aborted) failure = thrown;
      },
    );
  }

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
        coordinator !== null && !link.isCut
          ? Promise.resolve({
            ...{ natsUrl: "nats://memory", natsUser: "worker", natsPassword: "secret" },
            ...{ httpUrl: "http://coordinator", token: "token", coordinatorId: "c-1" },
          })
          : Promise.reject(new LoraFleetError("timeout", "nobody answers at the join URL")),
      connect: (_reply, purpose) => Promise.resolve(link.wrap(broker.connect(`${id} ${purpose}`))),
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
        return artifacts.store(announced.jobId, step, adapter, readStateWords(state, 0, count));
      },
      clock: link.clock,
      limits,
      log: (level, message) => note(id, `${level}: ${message}`),
    });
    agent.ended.catch((thrown) => {
      if (worker.isAlive) failure = thrown;
    });
    const worker: SimWorker = { id, link, agent, isAlive: true, isDrained: false };
    workers.push(worker);
    return worker;
  }

  function kill(worker: SimWorker): void {
    worker.isAlive = false;
    worker.link.kill();
    void worker.agent.stop();
  }

  function killCoordinator(): void {
    if (coordinator === null) return;
    const { fleet, link, stop } = coordinator;
    coordinator = null;
    link.kill();
    stop.abort(new LoraFleetError("aborted", "killed"));
    fleet.close();
  }

  async function finish(withinMs: number): Promise<void> {
    const deadline = clock.now() + withinMs;
    while (!isDone && failure === null && clock.now() < deadline) await clock.advance(50);
    if (isDone) return;
    const last = history.slice(-60).join("\n");
    const why = failure === null ? `it is not done after ${withinMs} ms` : messageOf(failure);
    throw new Error(`seed ${seed}: ${why}\n${last}`);
  }

  return {
    ...{
      clock,
      random,
      workers,
      steps,
      history,
      startWorker,
      kill,
      killCoordinator,
      startCoordinator,
      finish,
    },
    workerViews: () => coordinator?.fleet.workers() ?? [],
    reinstate: (worker) => coordinator?.fleet.reinstate(worker),
    get isDone() {
      return isDone;
    },
    get isCoordinatorAlive() {
      return coordinator !== null;
    },
    async close() {
      for (const worker of workers) if (worker.isAlive) kill(worker);
      killCoordinator();
      await clock.advance(5000);
    },
  };
}
