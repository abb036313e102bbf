import { decodeMessage, encodeMessage } from "../../../shared/protocol/messages_codec.ts";
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { createFakeClock, type FakeClock } from "../../../shared/testing/fake_clock.ts";
import type { Bus } from "../../../shared/bus/bus.ts";
import { createMemoryBroker, type MemoryBroker } from "../../../shared/testing/memory_bus.ts";
import { LoraFleetError } from "../../../shared/errors.ts";
import { LIMITS } from "../../../shared/protocol/limits.ts";
import {
  type FleetState,
  fleetStateSchema,
  NO_AUDITS,
  stepStateSchema,
  type Welcome,
  welcomeSchema,
} from "../../../shared/protocol/messages_coordinator.ts";
import {
  type Heartbeat,
  heartbeatSchema,
  type Hello,
  helloSchema,
  PROTOCOL_VERSION,
} from "../../../shared/protocol/messages_worker.ts";
import * as subjects from "../../../shared/protocol/subjects.ts";
import type { ArtifactStore } from "../../storage/artifact_store.ts";
import type { PlannedJob } from "../../planning/planned_job.ts";
import { appendCommit } from "../run/commit_log.ts";
import { DamagedFileError } from "../../storage/verified_file.ts";
import { SILENT_OBSERVER } from "../../training/step_fixture.ts";
import { createFleet, type RunningFleet } from "./fleet_over_bus.ts";
import { parseJobRequest } from "../../job_request/parse.ts";

const NO_ARTIFACTS = { files: () => Promise.resolve([]) } as unknown as ArtifactStore;

interface World {
  readonly clock: FakeClock;
  readonly broker: MemoryBroker;
  readonly bus: Bus;
  readonly fleet: RunningFleet;
  readonly defects: string[];
  /** Lines of the coordinator's log. */
  readonly logged: string[];
  /** Whether the coordinator is certain to lead. */
  lead(isHeld: boolean): void;
  /** The newest announcement of the fleet. */
  announced(): FleetState;
  hello(change?: Partial<Hello>): Promise<Welcome>;
  heartbeat(change?: Partial<Heartbeat>): void;
}

function createWorld(artifacts: ArtifactStore = NO_ARTIFACTS): World {
  const clock = createFakeClock(1_700_000_000_000);
  const broker = createMemoryBroker({ clock });
  const defects: string[] = [];
  const logged: string[] = [];
  let isHeld = true;
  const fleet = createFleet({
    bus: broker.connect("coordinator"),
    clock,
    coordinatorId: "c-1",
    term: 1,
    isHeld: () => isHeld,
    artifacts,
    newStartId: () => "s-1",
    limits: { ...LIMITS, floodLogIntervalMs: 0 },
    onDefect: (message, thrown) => defects.push(`${message}: ${thrown}`),
    log: (level, message) => logged.push(`${level} ${message}`),
  });
  const bus = broker.connect("w-a");
  let newest: FleetState | null = null;
  bus.subscribe(subjects.FLEET_SUBJECT, ({ data }) => {
    newest = decodeMessage(fleetStateSchema, data, "fleet state");
  });
  return {
    ...{ clock, broker, bus, fleet, defects, logged },
    lead: (held) => void (isHeld = held),
    announced: () => newest!,
    async hello(change = {}) {
      const hello = {
        ...{ worker: "w-a", incarnation: "i-1", protocolVersion: PROTOCOL_VERSION, name: "pc", gpu: "a GPU" },
        ...change,
      };
      const answer = bus.request(
        subjects.helloSubject(hello.worker),
        encodeMessage(helloSchema, hello),
        1000,
      );
      return decodeMessage(welcomeSchema, await answer, "welcome");
    },
    heartbeat(change = {}) {
      const heartbeat = {
        ...{ worker: "w-a", incarnation: "i-1", name: "pc", gpu: "a GPU", draining: false, maxGapMs: 7 },
        ...{ microBatchesDone: 3, tokensPerSecond: 10, gradientBytesSent: 5, job: null, busy: null },
        linkBytesPerSecond: null,
        ...change,
      };
      bus.publish(
        subjects.heartbeatSubject(heartbeat.worker),
        encodeMessage(heartbeatSchema, heartbeat),
      );
    },
  };
}

function plannedJob(): PlannedJob {
  return {
    id: "ftjob-a",
    spec: parseJobRequest({ model: "m", training_file: "f" }).spec,
    specHash: "spec",
    model: { hash: "0".repeat(64), files: [{ name: "config.json", size: 1, sha256: "0".repeat(64) }] },
    modelFolder: "/models/m",
    totalSteps: 1,
    checkpointSteps: [1],
    tokensThrough: (dataStep) => dataStep,
    maxTokensPerMicroBatch: 1,
    maxPositions: 1,
    epochsAfter: () => 1,
    microBatchesOf: () => [],
    linesOf: () => [],
  };
}

Deno.test("hello, heartbeats, silence: a worker's way through the fleet", async () => {
  const { clock, fleet, announced, hello, heartbeat, defects, logged } = createWorld();
  const welcome = await hello();
  await clock.advance(1);
  assertEquals(welcome, {
    type: "welcome",
    coordinatorId: "c-1",
    term: 1,
    generation: announced().generation,
  });
  assertEquals(announced().members, [{ worker: "w-a", incarnation: "i-1" }]);
  assertEquals(fleet.workers()[0]?.state, "joining");
  heartbeat();
  await clock.advance(1);
  const [view] = fleet.workers();
  assertEquals([view?.state, view?.maxHeartbeatGapMs, view?.microBatchesDone], ["ready", 7, 3]);
  await clock.advance(LIMITS.heartbeatIntervalMs * (LIMITS.lostAfterMissedHeartbeats + 1));
  assertEquals(announced().members, []);
  assertEquals(announced().generation, 1 + (welcome as { generation: number }).generation);
  assertEquals(fleet.workers()[0]?.state, "lost");
  assertMatch(fleet.workers()[0]!.reason!, /no heartbeat for 2\.\d s/);
  // No job is training, so there are no events to report it in.
  assertEquals(logged[0], "info w-a (pc, a GPU) has joined.");
  assertMatch(logged[1]!, /^warn w-a \(pc\) is gone: no heartbeat for 2\.\d s/);
  assertEquals(defects, []);
  fleet.close();
});

Deno.test("hundreds of workers that join within a second are announced in few messages, in the end completely", async () => {
  const { clock, broker, fleet, announced, hello } = createWorld();
  let announcements = 0;
  broker.connect("listener").subscribe(subjects.FLEET_SUBJECT, () => announcements++);
  for (let index = 0; index < 400; index++) {
    await hello({ worker: `w-${index}`, incarnation: `i-${index}` });
    await clock.advance(2);
  }
  await clock.advance(200);
  assertEquals(announced().members.length, 400);
  // Pauses grow from 0 to 80 ms within these 800 ms; each join by itself would be 400.
  assert(announcements < 60, `${announcements} announcements`);
  fleet.close();
});

Deno.test("no worker is lost by silence while the coordinator does not hold the lease", async () => {
  const { clock, fleet, hello, announced, lead } = createWorld();
  await hello();
  lead(false);
  await clock.advance(10_000);
  lead(true);
  await clock.advance(1000);
  assertEquals(announced().members.length, 1);
  await clock.advance(1500);
  assertEquals(announced().members.length, 0);
  fleet.close();
});

Deno.test("a hello of a different protocol version is refused with both versions and the side to update", async () => {
  const { fleet, hello } = createWorld();
  const older = await hello({ protocolVersion: 3 });
  assertEquals(older, {
    type: "refused",
    reason:
      "the worker speaks protocol version 3, the coordinator versions 7 to 8: update the worker, so that both run the " +
      "same release",
  });
  const newer = await hello({ protocolVersion: 99 });
  assertMatch((newer as { reason: string }).reason, /version 99, .* versions 7 to 8: update the coordinator/);
  fleet.close();
});

Deno.test("states are repeated; garbage and messages under a foreign name change nothing", async () => {
  const { clock, bus, broker, fleet, hello, heartbeat, defects } = createWorld();
  await hello();
  let announcements = 0;
  broker.connect("listener").subscribe(subjects.FLEET_SUBJECT, () => announcements++);
  for (let second = 0; second < 5; second++) {
    heartbeat();
    await clock.advance(LIMITS.announcementIntervalMs);
  }
  assertEquals(announcements, 5);
  bus.publish(subjects.helloSubject("w-a"), new Uint8Array([1, 2]));
  bus.publish(subjects.heartbeatSubject("w-a"), new TextEncoder().encode("{}"));
  await clock.advance(1);
  assertEquals(defects.length, 2);
  assertMatch(defects[1]!, /a message to lf\.heartbeat\.w-a is ignored: LoraFleetError: heartbeat/);
  // A heartbeat of w-a under a different subject.
  bus.publish("lf.heartbeat.w-b", new TextEncoder().encode("{}"));
  heartbeat({ worker: "w-b" });
  await clock.advance(1);
  assertEquals(fleet.workers().map(({ id, state }) => [id, state]), [["w-a", "ready"]]);
  fleet.close();
});

Deno.test("a cancelled job ends at once and is no longer announced", async () => {
  const { clock, bus, fleet, announced, hello } = createWorld();
  await hello();
  const cancelling = new AbortController();
  const events: string[] = [];
  const observer = { ...SILENT_OBSERVER, event: (_: string, message: string) => void events.push(message) };
  const training = fleet.train(plannedJob(), observer, cancelling.signal);
  await clock.advance(10);
  assertEquals(announced().job?.startId, "s-1");
  const cancelled = new LoraFleetError("aborted", "the job was cancelled");
  cancelling.abort(cancelled);
  const ended = assertRejects(() => training, LoraFleetError, "cancelled");
  await clock.advance(10);
  await ended;
  // Whether it is over or only interrupted, the job service knows.
  assertEquals(announced().job?.startId, "s-1");
  await fleet.forget("ftjob-a", "cancelled");
  await clock.advance(10);
  assertEquals(announced().job, null);
  assertEquals(events, []);
  // Who has not heard that it is over hears it again.
  const phases: string[] = [];
  bus.subscribe(subjects.stateSubject("ftjob-a"), ({ data }) => {
    phases.push(decodeMessage(stepStateSchema, data, "state").phase);
  });
  await clock.advance(2 * LIMITS.announcementIntervalMs);
  assertEquals(phases, ["cancelled", "cancelled"]);
  fleet.close();
});

Deno.test("a job without workers reports that it waits, and each worker that joins", async () => {
  const { clock, fleet, hello } = createWorld();
  const cancelling = new AbortController();
  const events: string[] = [];
  const observer = { ...SILENT_OBSERVER, event: (_: string, message: string) => void events.push(message) };
  const training = fleet.train(plannedJob(), observer, cancelling.signal);
  training.catch(() => {});
  await clock.advance(10);
  await hello();
  await clock.advance(10);
  assertEquals(events, ["The job waits for a worker to join.", "w-a (pc, a GPU) has joined."]);
  cancelling.abort();
  await clock.advance(10);
  fleet.close();
});

Deno.test("a damaged training state is reported if training would continue from it", async () => {
  const damaged = new DamagedFileError("the training state of step 4", "its SHA-256 is different");
  const { clock, bus, fleet } = createWorld({ ...NO_ARTIFACTS, state: () => Promise.reject(damaged) });
  await bus.ensureStream(subjects.commitLogName("ftjob-a"), subjects.commitsSubject("ftjob-a"));
  await appendCommit(bus, {
    ...{ jobId: "ftjob-a", startId: "s-0", specHash: "spec", step: 4, attempt: 1, generation: 1 },
    ...{ digest: "0".repeat(64), members: ["w-a"], labelCount: 1, loss: 1, gradientNorm: 1, maxAbs: "" },
    ...{ excluded: [], excludedTotal: 0, audits: NO_AUDITS, committedAt: 5 },
  }, 0);
  const cancelling = new AbortController();
  const events: string[] = [];
  const event = (level: string, message: string) => void events.push(`${level} ${message}`);
  const training = fleet.train(
    { ...plannedJob(), totalSteps: 9 },
    { ...SILENT_OBSERVER, event },
    cancelling.signal,
  );
  training.catch(() => {});
  await clock.advance(10);
  assertEquals(
    events[0],
    "warn The training state of step 4 is damaged in the coordinator's data folder: its SHA-256 is different; " +
      "training cannot go on from there.",
  );
  cancelling.abort();
  await clock.advance(10);
  fleet.close();
});
