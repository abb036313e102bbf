/** One worker of the fleet in memory: a real agent with a toy engine, behind a link of its own. */
import type { Bus } from "../../shared/bus/bus.ts";
import type { Clock } from "../../shared/clock.ts";
import { LoraFleetError } from "../../shared/errors.ts";
import { pcg32, type Prng } from "../../shared/prng.ts";
import { LIMITS, type Limits } from "../../shared/protocol/limits.ts";
import type { MemoryBroker } from "../../shared/testing/memory_bus.ts";
import type { Engine } from "../../worker/engine/engine.ts";
import { type Agent, type AgentOptions, startAgent } from "../../worker/fleet/agent.ts";
import { readStateWords, stateWordCount } from "../../worker/recovery/state_words.ts";
import { createToyEngine, type ToyEngineOptions } from "../../worker/testing/toy_engine.ts";
import type { CoordinatorInMemoryOptions } from "./coordinator_in_memory.ts";
import { createLink, type Link } from "./link.ts";
import type { MemoryArtifacts } from "./memory_artifacts.ts";
import type { ToyJobOptions } from "./toy_job.ts";

/** A clock that jumps has no gaps of the event loop. */
export const SIM_LIMITS: Limits = { ...LIMITS, eventLoopTickMs: 1000 };

export interface FleetInMemoryOptions extends ToyJobOptions {
  readonly seed: number;
  /** Bounds of a micro-batch's mean time on a worker. */
  readonly computeMs: readonly [least: number, most: number];
  readonly limits?: Limits;
  /** Overrides for a worker's engine. */
  readonly engineOf?: (worker: string) => Partial<ToyEngineOptions>;
  /** A worker's engine; null, or left out: the toy. */
  readonly makeEngine?: (
    worker: string,
    toy: ToyEngineOptions,
    tell: Parameters<AgentOptions["newEngine"]>[0],
  ) => Engine | null;
  readonly onCheckpoint?: CoordinatorInMemoryOptions["onCheckpoint"];
  /** Wraps a worker's connections; `purpose` is "control" or "gradients". */
  readonly busOf?: (worker: string, bus: Bus, purpose: string) => Bus;
  /** Layout that the job's adapter must have; left out: any that workers report. */
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

export interface SimWorkerOptions {
  readonly fleet: FleetInMemoryOptions;
  readonly clock: Clock;
  readonly broker: MemoryBroker;
  readonly random: Prng;
  readonly artifacts: MemoryArtifacts;
  readonly note: (who: string, what: string) => void;
  readonly isCoordinatorAlive: () => boolean;
  /** Called if the agent fails by itself. */
  readonly onFailure: (thrown: unknown) => void;
}

export function startSimWorker(id: string, options: SimWorkerOptions): SimWorker {
  const { fleet, clock, random, note, onFailure } = options;
  const link = createLink(clock, pcg32(random.uint32()));
  const agent = startAgent({
    ...engineOptions(id, link, options),
    ...connectionOptions(id, link, options),
    ...{ worker: id, name: id, gpu: fleet.gpuOf?.(id) ?? "toy" },
    clock: link.clock,
    limits: fleet.limits ?? SIM_LIMITS,
    log: (level, message) => note(id, `${level}: ${message}`),
  });
  agent.ended.catch((thrown) => {
    if (worker.isAlive) onFailure(thrown);
  });
  const worker: SimWorker = {
    ...{ id, link, agent, isAlive: true, isDrained: false },
    drain: () => {
      worker.isDrained = true;
      agent.drain();
    },
  };
  return worker;
}

function connectionOptions(
  id: string,
  link: Link,
  { fleet, broker, isCoordinatorAlive }: SimWorkerOptions,
): Pick<AgentOptions, "newIncarnation" | "join" | "connect"> {
  let incarnations = 0;
  return {
    newIncarnation: () => `i-${id}-${++incarnations}`,
    join: () =>
      isCoordinatorAlive() && !link.isCut
        ? Promise.resolve({
          ...{ natsUrl: "nats://memory", natsUser: "worker", natsPassword: "secret" },
          ...{ httpUrl: "http://coordinator", token: "token", coordinatorId: "c-1" },
        })
        : Promise.reject(new LoraFleetError("timeout", "nobody answers at the join URL")),
    connect: (_reply, purpose) => {
      const bus = broker.connect(`${id} ${purpose}`);
      return Promise.resolve(link.wrap(fleet.busOf?.(id, bus, purpose) ?? bus));
    },
  };
}

function engineOptions(
  id: string,
  link: Link,
  { fleet, random, artifacts }: SimWorkerOptions,
): Pick<AgentOptions, "newEngine" | "engineLimits" | "findBaseModel" | "writeCheckpoint"> {
  const [least, most] = fleet.computeMs;
  const pace = least + random.uniform() * (most - least);
  return {
    newEngine: (tell) => {
      const toy: ToyEngineOptions = {
        clock: link.clock,
        delayMs: (call) =>
          call === "computeGradient" || call === "evaluate"
            ? Math.round(pace * (0.8 + 0.4 * random.uniform()))
            : 0,
        ...fleet.engineOf?.(id),
      };
      return fleet.makeEngine?.(id, toy, tell) ?? createToyEngine(toy);
    },
    engineLimits: { allowCpu: true, memoryBudgetBytes: null },
    findBaseModel: (_reply, announced) => Promise.resolve(announced.modelFolder),
    writeCheckpoint: async (_reply, engine, announced, step) => {
      const state = await (engine as Engine).exportState();
      const count = stateWordCount(state.adapter.length);
      const adapter = new Uint8Array(state.adapter.slice().buffer);
      return artifacts.store(announced.jobId, step, id, adapter, readStateWords(state, 0, count));
    },
  };
}
