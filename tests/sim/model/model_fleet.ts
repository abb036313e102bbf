/** The real coordinator over the broker in memory, and thousands of model workers; docs/simulation.md says what is modelled. */
import { createFakeClock, type FakeClock } from "../../../shared/testing/fake_clock.ts";
import { createMemoryBroker } from "../../../shared/testing/memory_bus.ts";
import { workerIdOf } from "../../../shared/protocol/ids.ts";
import { messageOf } from "../../../shared/errors.ts";
import type { StepReport } from "../../../coordinator/fleet/fleet.ts";
import { LIMITS, type Limits } from "../../../shared/protocol/limits.ts";
import { pcg32, type Prng } from "../../../shared/prng.ts";
import { type CoordinatorInMemory, createCoordinatorInMemory } from "../coordinator_in_memory.ts";
import { createMemoryArtifacts } from "../memory_artifacts.ts";
import { createToyJob, type ToyJobOptions } from "../toy_job.ts";
import { type Books, createBooks } from "./books.ts";
import { createDecoded } from "./world/decoded.ts";
import type { BrokerSpeed, LinkSpeed } from "./world/link_model.ts";
import { createModelLink, type ModelLink } from "./world/model_link.ts";
import { createRounds, type RoundsOptions } from "./world/model_rounds.ts";
import { type ModelWorker, startModelWorker } from "./worker/model_worker.ts";
import type { ModelWorld } from "./world/model_world.ts";
import { createTimetable } from "./world/timetable.ts";
import { createTrace, type Trace } from "./trace.ts";

type Range = readonly [least: number, most: number];

export interface ModelFleetOptions extends ToyJobOptions {
  readonly seed: number;
  /** Bounds of a micro-batch's mean time on a worker. */
  readonly computeMs: Range;
  /** The adapter's. */
  readonly parameterCount: number;
  /** Bytes on the wire for each of the 4 of a parameter: 1, or 260/1024 with int8. */
  readonly wireShare: number;
  /** Each worker's link, both ways. */
  readonly linkBytesPerSecond: Range;
  readonly latencyMs: Range;
  readonly broker: BrokerSpeed;
  readonly limits?: Limits;
  /** How often a worker adds a counted micro-batch, for a test that plants a fault. */
  readonly timesAdded?: (worker: string, number: number) => number;
  /** Called for each line of the history. */
  readonly onLine?: (line: string) => void;
}

export interface ModelFleet {
  readonly clock: FakeClock;
  readonly workers: readonly ModelWorker[];
  readonly steps: readonly StepReport[];
  /** When each step was committed, in milliseconds from the beginning. */
  readonly committedAt: readonly number[];
  readonly trace: Trace;
  readonly books: Books;
  readonly isDone: boolean;
  readonly isCoordinatorAlive: boolean;
  readonly computedCount: number;
  /** Bytes that the broker has sent to workers besides gradients and states. */
  readonly controlBytesOut: number;
  /** A gradient's. */
  readonly wireBytes: number;
  /** Since the beginning, in milliseconds. */
  readonly elapsedMs: number;
  startWorker(): ModelWorker;
  kill(worker: ModelWorker): void;
  startCoordinator(): void;
  killCoordinator(): void;
  /** Lets time pass until then, or until the job is done. Throws with the end of the trace if the job fails. */
  passUntil(elapsedMs: number): Promise<void>;
}

const BEGINNING = 1_700_000_000_000;
/** What the coordinator's own broker takes (`coordinator/broker/nats_server.ts`). */
const MAX_PAYLOAD_BYTES = 8 * 2 ** 20;
/** How long a member waits for a chunk before it asks again (decision 6). */
const REPEAT_MS = 1000;

export function createModelFleet(options: ModelFleetOptions): ModelFleet {
  const { seed, limits = LIMITS, totalSteps, microBatchesPerStep } = options;
  const random = pcg32(seed);
  const clock = createFakeClock(BEGINNING);
  const timetable = createTimetable(clock);
  const broker = createMemoryBroker({ clock, maxPayloadBytes: MAX_PAYLOAD_BYTES });
  const artifacts = createMemoryArtifacts();
  const trace = createTrace(() => clock.now() - BEGINNING, options.onLine);
  const books = createBooks(totalSteps, microBatchesPerStep);
  const workers: ModelWorker[] = [];
  const links = new Map<string, ModelLink>();
  const committedAt: number[] = [];
  let computedCount = 0;
  const world = createWorld(options, {
    ...{ random, timetable, artifacts, limits, note: trace.note },
    onSummed: books.summed,
    linkOf: (worker) => links.get(worker) ?? null,
    computed: () => void computedCount++,
  });
  const coordinator = createCoordinatorInMemory({
    ...{ broker, clock, random, artifacts, limits, note: trace.note, job: createToyJob(options) },
    onCommit: ({ step, digest }) => {
      committedAt.push(clock.now() - BEGINNING);
      books.committed(step, digest);
    },
  });

  function startWorker(): ModelWorker {
    const id = workerIdOf(`model ${workers.length}`);
    const own = pcg32(random.uint32());
    const paceMs = between(own, options.computeMs);
    const link = createModelLink({
      ...{ bus: broker.connect(id), timetable, random: own, speed: drawLink(own, options) },
      onReach: () => world.rounds.reachChanged(id),
    });
    links.set(id, link);
    const worker = startModelWorker({ world, id, link, random: own, paceMs, now: () => clock.now() });
    workers.push(worker);
    return worker;
  }

  async function passUntil(elapsedMs: number): Promise<void> {
    await advance(clock, coordinator, BEGINNING + elapsedMs);
    if (coordinator.failure === null) return;
    throw new Error(`seed ${seed}: ${messageOf(coordinator.failure)}\n${trace.last(60).join("\n")}`);
  }

  return {
    ...{ clock, workers, committedAt, trace, books, startWorker, passUntil },
    ...{ steps: coordinator.steps, wireBytes: world.wireBytes },
    kill: (worker) => worker.kill(),
    startCoordinator: () => coordinator.start(),
    killCoordinator: () => coordinator.kill(),
    get isDone() {
      return coordinator.isDone;
    },
    get isCoordinatorAlive() {
      return coordinator.isAlive;
    },
    get computedCount() {
      return computedCount;
    },
    get controlBytesOut() {
      return links.values().reduce((sum, { bytesReceived }) => sum + bytesReceived, 0);
    },
    get elapsedMs() {
      return clock.now() - BEGINNING;
    },
  };
}

/** Lets time pass until then, or until the job is done or has failed. */
async function advance(clock: FakeClock, coordinator: CoordinatorInMemory, until: number): Promise<void> {
  while (!coordinator.isDone && clock.now() < until) {
    await clock.advance(Math.min(50, until - clock.now()));
    if (coordinator.failure !== null) return;
  }
}

type FleetParts =
  & Omit<ModelWorld, "rounds" | "decoded" | "gradientBytes" | "wireBytes" | "timesAdded">
  & Pick<RoundsOptions, "timetable" | "onSummed">;

function createWorld(
  { parameterCount, wireShare, broker, timesAdded = () => 1 }: ModelFleetOptions,
  { timetable, onSummed, ...parts }: FleetParts,
): ModelWorld {
  const gradientBytes = 4 * parameterCount;
  const wireBytes = Math.ceil(gradientBytes * wireShare);
  return {
    ...{ ...parts, gradientBytes, wireBytes, timesAdded },
    decoded: createDecoded(),
    rounds: createRounds({ timetable, broker, gradientBytes: wireBytes, repeatMs: REPEAT_MS, onSummed }),
  };
}

function drawLink(random: Prng, { linkBytesPerSecond, latencyMs }: ModelFleetOptions): LinkSpeed {
  const bytesPerSecond = between(random, linkBytesPerSecond);
  return {
    upBytesPerSecond: bytesPerSecond,
    downBytesPerSecond: bytesPerSecond,
    latencyMs: Math.round(between(random, latencyMs)),
  };
}

function between(random: Prng, [least, most]: Range): number {
  return least + random.uniform() * (most - least);
}
