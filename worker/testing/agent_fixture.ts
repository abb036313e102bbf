/** What the tests of the agent share: workers with toy engines, a broker in memory, and a coordinator that does what it is told. */
import type { Bus } from "../../shared/bus/bus.ts";
import { createFakeClock, type FakeClock } from "../../shared/testing/fake_clock.ts";
import { createMemoryBroker } from "../../shared/testing/memory_bus.ts";
import { LoraFleetError, messageOf } from "../../shared/errors.ts";
import { LIMITS, type Limits } from "../../shared/protocol/limits.ts";
import {
  type AttemptFailure,
  attemptFailureSchema,
  type CheckpointReport,
  checkpointReportSchema,
  decodeFloats,
  decodeMessage,
  encodeMessage,
  encodeWorkItem,
  fleetStateSchema,
  type Heartbeat,
  heartbeatSchema,
  helloSchema,
  itemRequestSchema,
  type JobAnnouncement,
  leaveSchema,
  type MemberRef,
  type MicroBatchReport,
  microBatchReportSchema,
  receivedSchema,
  type StepState,
  stepStateSchema,
  type UpdateReport,
  updateReportSchema,
  type Verdict,
  verdictAnswerSchema,
  type Welcome,
  welcomeSchema,
} from "../../shared/protocol/messages.ts";
import type { MicroBatch } from "../../shared/data/packing/micro_batch.ts";
import * as subjects from "../../shared/protocol/subjects.ts";
import { type Agent, type AgentOptions, startAgent } from "../fleet/agent.ts";
import type { JoinReply } from "../fleet/join.ts";
import type { LogLevel } from "../../shared/log.ts";
import { createToyEngine, type ToyEngine, type ToyEngineOptions } from "./toy_engine.ts";

export const TEST_LIMITS: Limits = { ...LIMITS, eventLoopTickMs: 100 };

export const JOB: JobAnnouncement = {
  jobId: "ftjob-a",
  startId: "s-1",
  specHash: "spec",
  model: { hash: "0".repeat(64), files: [{ name: "config.json", size: 1, sha256: "1".repeat(64) }] },
  modelFolder: "/models/toy",
  baseModelName: "toy",
  savesState: true,
  gradientCodec: "exact",
  localSteps: null,
  engine: {
    lora: {
      r: 4,
      lora_alpha: 16,
      lora_dropout: 0,
      bias: "none",
      task_type: "CAUSAL_LM",
      use_rslora: false,
      target_modules: ["q_proj"],
    },
    seed: 7,
    doubleQuantization: true,
    gradientCheckpointing: true,
    maxTokensPerMicroBatch: 8,
    maxPositions: 8,
  },
  optimizer: { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0, maxGradientNorm: 1 },
};

/** Each micro-batch of a job has tokens of its own. */
export function microBatchOf(number: number): MicroBatch {
  const tokens = Uint32Array.from({ length: 4 }, (_, i) => 10 * number + i);
  return {
    tokens,
    labels: Int32Array.from(tokens, (token) => token + 1),
    positions: Uint32Array.of(0, 1, 2, 3),
    segmentStarts: new Uint32Array(4),
  };
}

const REPLY: JoinReply = {
  natsUrl: "nats://memory",
  natsUser: "worker",
  natsPassword: "secret",
  httpUrl: "http://coordinator",
  token: "token",
  coordinatorId: "c",
};

/** Answers what is asked and keeps what is told. What there is to do is said by the test. */
export interface Coordinator {
  /** Changes of the announced state of the step, and says so. */
  announce(change: Partial<StepState>): void;
  /** Begins an attempt with all members. */
  begin(step: number, attempt: number, change?: Partial<StepState>): void;
  /** Says nothing, hears nothing from now on. */
  crash(): void;
  /** A new one on the same broker, which knows nobody. */
  restart(generation?: number): void;
  setJob(job: JobAnnouncement | null): void;
  /** Declares a worker lost. */
  lose(worker: string): void;
  /** Puts a micro-batch of the announced attempt on the queue. */
  enqueue(index: number, change?: Partial<Parameters<typeof encodeWorkItem>[0]>): Promise<void>;
  /** One whole attempt, the next one, with all members: compute, reduce, commit. */
  doStep(step: number, exponents?: StepState["exponents"]): Promise<void>;
  readonly state: StepState;
  readonly members: readonly MemberRef[];
  /** The newest of each worker. */
  readonly heartbeats: ReadonlyMap<string, Heartbeat>;
  readonly claims: readonly MicroBatchReport[];
  readonly updates: readonly UpdateReport[];
  readonly failures: readonly AttemptFailure[];
  readonly checkpoints: readonly CheckpointReport[];
  readonly left: readonly string[];
  /** What a claim is answered; null: nothing. The first claim of each micro-batch counts unless this is replaced. */
  verdict: (report: MicroBatchReport) => Verdict | null;
  /** Whether requests for the items of assignments are answered. */
  givesItems: boolean;
  welcome: (self: MemberRef) => Welcome | null;
}

export interface WorkerUnderTest {
  readonly id: string;
  readonly agent: Agent;
  /** Of the job that it has now. */
  readonly engine: ToyEngine;
  readonly log: string[];
  readonly heartbeat: Heartbeat | undefined;
}

export interface World {
  readonly clock: FakeClock;
  readonly coordinator: Coordinator;
  readonly bus: Bus;
  /** How often a worker has asked the join URL. */
  readonly joins: number;
  /** How often workers have connected to the broker, each twice. */
  readonly connections: number;
  /** What the join URL answers; may throw. */
  join: () => JoinReply;
  start(id: string, change?: Partial<AgentOptions>, engine?: Partial<ToyEngineOptions>): WorkerUnderTest;
  /** Lets time pass until it is so. */
  until(what: string, isSo: () => boolean, limitMs?: number): Promise<void>;
  close(): Promise<void>;
}

export async function createWorld(limits: Limits = TEST_LIMITS): Promise<World> {
  const clock = createFakeClock(1_000_000);
  const broker = createMemoryBroker({ clock });
  const workers: WorkerUnderTest[] = [];
  const bus = broker.connect("coordinator");
  await bus.ensureQueue(subjects.workQueueName(JOB.jobId), [subjects.allWorkSubject(JOB.jobId)], {
    ackWaitMs: limits.microBatchAckWaitMs,
  });
  let joins = 0;
  let connections = 0;

  async function until(what: string, isSo: () => boolean, limitMs = 60_000): Promise<void> {
    for (let passed = 0; !isSo(); passed += 10) {
      if (passed > limitMs) {
        const logs = workers.map(({ id, log }) => `${id}:\n${log.join("\n")}`).join("\n");
        throw new Error(`after ${limitMs} ms it is still not so that ${what}\n${logs}`);
      }
      await clock.advance(10);
    }
  }

  const coordinator = createCoordinator(bus, clock, until);
  const world: World = {
    clock,
    coordinator,
    bus,
    get joins() {
      return joins;
    },
    get connections() {
      return connections;
    },
    join: () => REPLY,
    until,
    start: (id, change = {}, engineOptions = {}) => {
      const log: string[] = [];
      let incarnations = 0;
      let engine: ToyEngine | null = null;
      const agent = startAgent({
        worker: id,
        name: `the ${id}`,
        gpu: "toy",
        newIncarnation: () => `i-${id}-${++incarnations}`,
        join: () => {
          joins++;
          return new Promise((resolve) => resolve(world.join()));
        },
        connect: (_reply, purpose) => {
          connections++;
          return Promise.resolve(broker.connect(`${id} ${purpose}`));
        },
        newEngine: () => engine = createToyEngine({ clock, ...engineOptions }),
        engineLimits: { allowCpu: true, memoryBudgetBytes: null },
        findBaseModel: (_reply, job) => Promise.resolve(job.modelFolder),
        writeCheckpoint: () =>
          Promise.resolve([{ name: "adapter_config.json", size: 2, sha256: "a".repeat(64) }]),
        clock,
        limits,
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
      workers.push(worker);
      return worker;
    },
    close: async () => {
      const stopped = Promise.all(workers.map(({ agent }) => agent.stop()));
      coordinator.crash();
      let isStopped = false;
      stopped.finally(() => isStopped = true);
      await until("all workers have stopped", () => isStopped);
      await stopped;
      await bus.close();
    },
  };
  return world;
}

function createCoordinator(bus: Bus, clock: FakeClock, until: World["until"]): Coordinator {
  const heartbeats = new Map<string, Heartbeat>();
  const claims: MicroBatchReport[] = [];
  const updates: UpdateReport[] = [];
  const failures: AttemptFailure[] = [];
  const checkpoints: CheckpointReport[] = [];
  const left: string[] = [];
  const counted = new Map<number, MicroBatchReport>();
  const received = encodeMessage(receivedSchema, { type: "received" });
  let members: MemberRef[] = [];
  let generation = 100;
  let isAlive = true;
  let job: JobAnnouncement | null = null;
  let enqueued = 0;
  let state: StepState = {
    jobId: JOB.jobId,
    startId: JOB.startId,
    revision: 1,
    term: 1,
    step: 1,
    attempt: 0,
    generation,
    phase: "waiting",
    members: [],
    weights: [],
    holders: [],
    quarantined: [],
    committed: null,
    microBatchCount: 2,
    exponents: null,
    assignments: [],
    ledger: [],
    labelCount: 0,
    learningRate: 0.01,
    checkSeed: 7,
    roundMs: 20_000,
    checkpointWriter: null,
  };

  function sayFleet(): void {
    if (!isAlive) return;
    bus.publish(
      subjects.FLEET_SUBJECT,
      encodeMessage(fleetStateSchema, { coordinatorId: "c", term: 1, generation, members, job }),
    );
  }

  function sayState(): void {
    if (isAlive && job !== null) {
      bus.publish(subjects.stateSubject(job.jobId), encodeMessage(stepStateSchema, state));
    }
  }

  const repeat = async () => {
    for (;;) {
      sayFleet();
      sayState();
      await clock.sleep(TEST_LIMITS.announcementIntervalMs);
    }
  };
  void repeat();

  function setMembers(next: MemberRef[]): void {
    members = next.sort((a, b) => a.worker < b.worker ? -1 : 1);
    generation++;
    sayFleet();
  }

  const answer = (subject: string, reply: (data: Uint8Array) => Uint8Array | null) =>
    bus.subscribe(subject, ({ data, respond }) => {
      const bytes = isAlive ? reply(data) : null;
      if (bytes !== null) respond(bytes);
    });

  answer(subjects.helloSubject(subjects.ANY), (data) => {
    const { worker, incarnation } = decodeMessage(helloSchema, data, "hello");
    const welcome = coordinator.welcome({ worker, incarnation });
    return welcome === null ? null : encodeMessage(welcomeSchema, welcome);
  });
  answer(subjects.leaveSubject(subjects.ANY), (data) => {
    const { worker, reason } = decodeMessage(leaveSchema, data, "leave");
    left.push(`${worker}: ${reason}`);
    setMembers(members.filter((member) => member.worker !== worker));
    return received;
  });
  bus.subscribe(subjects.heartbeatSubject(subjects.ANY), ({ data }) => {
    const heartbeat = decodeMessage(heartbeatSchema, data, "heartbeat");
    heartbeats.set(heartbeat.worker, heartbeat);
  });
  answer(subjects.reportSubject(JOB.jobId, subjects.ANY), (data) => {
    const report = decodeMessage(microBatchReportSchema, data, "report");
    claims.push(report);
    const verdict = coordinator.verdict(report);
    return verdict === null ? null : encodeMessage(verdictAnswerSchema, { verdict });
  });
  answer(subjects.itemSubject(JOB.jobId, subjects.ANY), (data) => {
    const { index } = decodeMessage(itemRequestSchema, data, "item");
    return coordinator.givesItems ? itemOf(index) : null;
  });
  const keep = <T>(list: T[], data: T) => {
    list.push(data);
    return received;
  };
  answer(
    subjects.updateSubject(JOB.jobId, subjects.ANY),
    (data) => keep(updates, decodeMessage(updateReportSchema, data, "update")),
  );
  answer(
    subjects.failureSubject(JOB.jobId, subjects.ANY),
    (data) => keep(failures, decodeMessage(attemptFailureSchema, data, "failure")),
  );
  answer(
    subjects.checkpointSubject(JOB.jobId, subjects.ANY),
    (data) => keep(checkpoints, decodeMessage(checkpointReportSchema, data, "checkpoint")),
  );

  function itemOf(index: number, change: Partial<Parameters<typeof encodeWorkItem>[0]> = {}): Uint8Array {
    const { step, attempt } = state;
    const number = 100 * step + index;
    const header = {
      ...{ jobId: JOB.jobId, startId: state.startId, specHash: JOB.specHash },
      ...{ step, attempt, index, number, audit: false, ...change },
    };
    return encodeWorkItem(header, microBatchOf(number));
  }

  const coordinator: Coordinator = {
    get state() {
      return state;
    },
    get members() {
      return members;
    },
    heartbeats,
    claims,
    updates,
    failures,
    checkpoints,
    left,
    verdict: (report) => {
      const before = counted.get(report.index);
      if (before === undefined) counted.set(report.index, report);
      const isSame = before === undefined ||
        (before.worker === report.worker && before.claim === report.claim);
      return isSame ? "counted" : "duplicate";
    },
    givesItems: true,
    welcome: (self) => {
      setMembers([...members.filter(({ worker }) => worker !== self.worker), self]);
      return { type: "welcome", coordinatorId: "c", term: 1, generation };
    },
    announce: (change) => {
      const isNewAttempt = change.attempt !== undefined || change.step !== undefined;
      if (isNewAttempt) counted.clear();
      const weights = (change.members ?? state.members).map(() => 1);
      state = { ...state, weights, ...change, revision: state.revision + 1 };
      sayState();
    },
    begin: (step, attempt, change = {}) =>
      coordinator.announce({
        ...{ step, attempt, generation, phase: "compute", members: [...members], ledger: [] },
        ...{ exponents: [-20, -20], ...change },
      }),
    crash: () => void (isAlive = false),
    restart: (next = generation + 1000) => {
      isAlive = true;
      members = [];
      generation = next;
      heartbeats.clear();
      state = {
        ...state,
        term: state.term + 1,
        revision: state.revision + 1000,
        phase: "waiting",
        attempt: 0,
      };
      sayFleet();
    },
    setJob: (next) => {
      job = next;
      if (next !== null) state = { ...state, startId: next.startId };
      sayFleet();
    },
    lose: (worker) => setMembers(members.filter((member) => member.worker !== worker)),
    enqueue: (index, change = {}) => {
      const { step, attempt } = { ...state, ...change };
      return bus.enqueue(
        subjects.workSubject(JOB.jobId, step, attempt),
        itemOf(index, change),
        `item-${++enqueued}`,
      );
    },
    doStep: async (step, exponents = [-20, -20]) => {
      const [claimsBefore, updatesBefore] = [claims.length, updates.length];
      coordinator.begin(step, state.step === step ? state.attempt + 1 : 1, { exponents });
      for (let index = 0; index < state.microBatchCount; index++) await coordinator.enqueue(index);
      await until(
        `all micro-batches of step ${step} are counted`,
        () => counted.size === state.microBatchCount && claims.length > claimsBefore,
      );
      const owner = (index: number) =>
        members.findIndex(({ worker }) => worker === counted.get(index)!.worker);
      coordinator.announce({
        phase: "reduce",
        ledger: Array.from({ length: state.microBatchCount }, (_, index) => owner(index)),
        labelCount: [...counted.values()].reduce((sum, { labelCount }) => sum + labelCount, 0),
      });
      await until(
        `all updates of step ${step} are there`,
        () => updates.length === updatesBefore + members.length,
      );
      const digests = new Set(updates.slice(updatesBefore).map(({ digest }) => digest));
      if (digests.size !== 1) throw new Error(`the digests of step ${step} differ`);
      const [digest] = digests;
      coordinator.announce({
        ...{ step: step + 1, attempt: 0, phase: "waiting", members: [], ledger: [] },
        committed: { step, digest: digest! },
        holders: members.map(({ worker }) => worker),
      });
    },
  };
  return coordinator;
}

/** The largest |gradient| that was claimed, for a test to look at. */
export function maximaOf(report: MicroBatchReport): number[] {
  return [...decodeFloats(report.maxAbs)];
}

/** Starts workers on a job and waits until all have loaded it and agree on the initial adapter. */
export async function startFleet(world: World, ids: readonly string[]): Promise<WorkerUnderTest[]> {
  const { coordinator } = world;
  coordinator.setJob(JOB);
  const workers = ids.map((id) => world.start(id));
  await world.until("all have loaded", () => workers.every(isLoaded));
  agree(world, workers);
  return workers;
}

export function isLoaded(worker: WorkerUnderTest): boolean {
  return worker.heartbeat?.job?.phase === "loaded";
}

/** The commit that a worker tells of. */
export function committedOf(worker: WorkerUnderTest) {
  const job = worker.heartbeat?.job;
  return job?.phase === "loaded" ? job.committed : null;
}

function agree(world: World, workers: readonly WorkerUnderTest[]): void {
  world.coordinator.announce({
    committed: committedOf(workers[0]!),
    holders: workers.map(({ id }) => id),
  });
}

/** What a promise was rejected with. */
export async function rejection(promise: Promise<unknown>): Promise<LoraFleetError> {
  try {
    await promise;
  } catch (thrown) {
    if (thrown instanceof LoraFleetError) return thrown;
    throw new Error(`not a LoraFleetError: ${messageOf(thrown)}`);
  }
  throw new Error("it was not rejected");
}
