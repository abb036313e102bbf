/** A fleet in one process for tests of workers: toy engines, a broker in memory, a fake clock, and a test coordinator. */
import type { Bus } from "../../shared/bus/bus.ts";
import { LoraFleetError, messageOf } from "../../shared/errors.ts";
import type { LogLevel } from "../../shared/log.ts";
import { decodeFloats } from "../../shared/protocol/messages_codec.ts";
import type { StepState } from "../../shared/protocol/messages_coordinator.ts";
import type { Heartbeat, MicroBatchReport } from "../../shared/protocol/messages_worker.ts";
import * as subjects from "../../shared/protocol/subjects.ts";
import { createFakeClock, type FakeClock } from "../../shared/testing/fake_clock.ts";
import { createMemoryBroker, type MemoryBroker } from "../../shared/testing/memory_bus.ts";
import { type Agent, type AgentOptions, startAgent } from "../fleet/agent.ts";
import type { JoinReply } from "../fleet/join.ts";
import { TestCoordinator } from "./test_coordinator.ts";
import { JOB, TEST_LIMITS } from "./test_job.ts";
import { createToyEngine, type ToyEngine, type ToyEngineOptions } from "./toy_engine.ts";

const REPLY: JoinReply = {
  natsUrl: "nats://memory",
  natsUser: "worker",
  natsPassword: "secret",
  httpUrl: "http://coordinator",
  token: "token",
  coordinatorId: "c",
};

interface WorkerUnderTest {
  readonly id: string;
  readonly agent: Agent;
  /** The current job's. */
  readonly engine: ToyEngine;
  readonly log: string[];
  readonly heartbeat: Heartbeat | undefined;
}

export class World {
  readonly clock: FakeClock;
  readonly bus: Bus;
  readonly coordinator: TestCoordinator;
  readonly #broker: MemoryBroker;
  readonly #workers: WorkerUnderTest[] = [];
  #joins = 0;
  #connections = 0;
  /** Answers the join URL; may throw. */
  join = (): JoinReply => REPLY;

  constructor(clock: FakeClock, broker: MemoryBroker, bus: Bus) {
    this.clock = clock;
    this.bus = bus;
    this.#broker = broker;
    this.coordinator = new TestCoordinator(bus, clock);
  }

  /** Requests to the join URL. */
  get joins(): number {
    return this.#joins;
  }

  /** Connections to the broker: two for each worker that has joined. */
  get connections(): number {
    return this.#connections;
  }

  start(
    id: string,
    change: Partial<AgentOptions> = {},
    engineOptions: Partial<ToyEngineOptions> = {},
  ): WorkerUnderTest {
    const { clock, coordinator } = this;
    const log: string[] = [];
    let engine: ToyEngine | null = null;
    const agent = startAgent({
      ...this.#agentOptions(id),
      newEngine: () => engine = createToyEngine({ clock, ...engineOptions }),
      log: (level: LogLevel, message: string) => void log.push(`${clock.now()} ${level} ${message}`),
      ...change,
    });
    const worker: WorkerUnderTest = {
      id,
      agent,
      log,
      get engine() {
        if (engine === null) throw new Error(`${id} has no engine yet`);
        return engine;
      },
      get heartbeat() {
        return coordinator.heartbeats.get(id);
      },
    };
    this.#workers.push(worker);
    return worker;
  }

  #agentOptions(id: string): Omit<AgentOptions, "newEngine" | "log"> {
    let incarnations = 0;
    return {
      worker: id,
      name: `the ${id}`,
      gpu: "toy",
      newIncarnation: () => `i-${id}-${++incarnations}`,
      join: () => {
        this.#joins++;
        return new Promise((resolve) => resolve(this.join()));
      },
      connect: (_reply, purpose) => {
        this.#connections++;
        return Promise.resolve(this.#broker.connect(`${id} ${purpose}`));
      },
      engineLimits: { allowCpu: true, memoryBudgetBytes: null },
      findBaseModel: (_reply, job) => Promise.resolve(job.modelFolder),
      writeCheckpoint: () =>
        Promise.resolve([{ name: "adapter_config.json", size: 2, sha256: "a".repeat(64) }]),
      clock: this.clock,
      limits: TEST_LIMITS,
    };
  }

  /** Lets time pass until the condition holds. */
  async until(what: string, holds: () => boolean, limitMs = 60_000): Promise<void> {
    for (let passed = 0; !holds(); passed += 10) {
      if (passed > limitMs) {
        const logs = this.#workers.map(({ id, log }) => `${id}:\n${log.join("\n")}`).join("\n");
        throw new Error(`after ${limitMs} ms it is still not true that ${what}\n${logs}`);
      }
      await this.clock.advance(10);
    }
  }

  /** One whole attempt, the next one, with all members: compute, reduce, commit. */
  async doStep(step: number, exponents: StepState["exponents"] = [-20, -20]): Promise<void> {
    const { coordinator } = this;
    const { state: { step: before, attempt, microBatchCount }, claims, updates } = coordinator;
    const [claimsBefore, updatesBefore] = [claims.length, updates.length];
    coordinator.begin(step, before === step ? attempt + 1 : 1, { exponents });
    for (let index = 0; index < microBatchCount; index++) await coordinator.enqueue(index);
    await this.until(
      `all micro-batches of step ${step} are counted`,
      () => coordinator.countedMicroBatches === microBatchCount && claims.length > claimsBefore,
    );
    coordinator.beginRound();
    await this.until(
      `all updates of step ${step} are there`,
      () => updates.length === updatesBefore + coordinator.members.length,
    );
    coordinator.commit(updates.slice(updatesBefore));
  }

  async close(): Promise<void> {
    const stopped = Promise.all(this.#workers.map(({ agent }) => agent.stop()));
    this.coordinator.crash();
    let isStopped = false;
    stopped.finally(() => isStopped = true);
    await this.until("all workers have stopped", () => isStopped);
    await stopped;
    await this.bus.close();
  }
}

export async function createWorld(): Promise<World> {
  const clock = createFakeClock(1_000_000);
  const broker = createMemoryBroker({ clock });
  const bus = broker.connect("coordinator");
  await bus.ensureQueue(subjects.workQueueName(JOB.jobId), [subjects.allWorkSubject(JOB.jobId)], {
    ackWaitMs: TEST_LIMITS.microBatchAckWaitMs,
  });
  return new World(clock, broker, bus);
}

/** A test with its own world. */
export function inWorld(name: string, work: (world: World) => Promise<void>): void {
  Deno.test(name, async () => {
    const world = await createWorld();
    try {
      await work(world);
    } finally {
      await world.close();
    }
  });
}

/** The largest |gradient| of each tensor in a claim. */
export function maximaOf(report: MicroBatchReport): number[] {
  return [...decodeFloats(report.maxAbs)];
}

/** Starts workers on a job and waits until all have loaded it and agree on the initial adapter. */
export async function startFleet(world: World, ids: readonly string[]): Promise<WorkerUnderTest[]> {
  const { coordinator } = world;
  coordinator.setJob(JOB);
  const workers = ids.map((id) => world.start(id));
  await world.until("all have loaded", () => workers.every(isLoaded));
  coordinator.announce({ committed: committedOf(workers[0]!), holders: ids.slice() });
  return workers;
}

export function isLoaded(worker: WorkerUnderTest): boolean {
  return worker.heartbeat?.job?.phase === "loaded";
}

/** The commit that a worker reports. */
export function committedOf(worker: WorkerUnderTest) {
  const job = worker.heartbeat?.job;
  return job?.phase === "loaded" ? job.committed : null;
}

/** The reason of a promise's rejection. */
export async function rejection(promise: Promise<unknown>): Promise<LoraFleetError> {
  try {
    await promise;
  } catch (thrown) {
    if (thrown instanceof LoraFleetError) return thrown;
    throw new Error(`not a LoraFleetError: ${messageOf(thrown)}`);
  }
  throw new Error("the promise was not rejected");
}
