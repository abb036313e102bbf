/**
 * A model worker's life in the fleet: hello, heartbeats, the job, leaving, as `worker/fleet/agent.ts` and `worker/job/job_host.ts` have it.
 * It is light: no promises, no engine, one link.
 */
import { lostAt } from "../../../shared/protocol/limits.ts";
import { decodeMessage, encodeMessage } from "../../../shared/protocol/messages_codec.ts";
import {
  type FleetState,
  type JobAnnouncement,
  type MemberRef,
  welcomeSchema,
} from "../../../shared/protocol/messages_coordinator.ts";
import {
  type Heartbeat,
  heartbeatSchema,
  helloSchema,
  leaveSchema,
  PROTOCOL_VERSION,
} from "../../../shared/protocol/messages_worker.ts";
import type { Prng } from "../../../shared/prng.ts";
import { memberAmong } from "../../../shared/protocol/sorted_members.ts";
import {
  FLEET_SUBJECT,
  heartbeatSubject,
  helloSubject,
  leaveSubject,
} from "../../../shared/protocol/subjects.ts";
import { type FleetAge, isOlderFleet } from "../../../shared/protocol/terms.ts";
import { sameCommit } from "../../../worker/step/step_action.ts";
import { INITIAL_DIGEST } from "./contribution.ts";
import type { ModelLink } from "./model_link.ts";
import { type ModelHeld, type ModelSession, startModelSession } from "./model_session.ts";
import { LOAD_MS, type ModelWorld } from "./model_world.ts";

export interface ModelWorker {
  readonly id: string;
  readonly link: ModelLink;
  /** Neither killed nor gone by itself. */
  readonly isAlive: boolean;
  readonly isDrained: boolean;
  drain(): void;
  kill(): void;
}

export interface ModelWorkerOptions {
  readonly world: ModelWorld;
  readonly id: string;
  readonly link: ModelLink;
  readonly random: Prng;
  readonly paceMs: number;
  readonly now: () => number;
}

/** As in `worker/fleet/agent.ts`. */
const HELLO_PAUSE_MS = 50;

interface HostedJob {
  readonly announcement: JobAnnouncement;
  phase: "loading" | "loaded" | "over";
  held: ModelHeld;
}

export function startModelWorker(options: ModelWorkerOptions): ModelWorker {
  const { world, id, link, random, paceMs, now } = options;
  const { limits } = world;
  let incarnations = 0;
  let isAlive = true;
  let drainSince: number | null = null;
  let isLeaving = false;
  let fleet: FleetState | null = null;
  let member: { readonly self: MemberRef; readonly welcome: FleetAge } | null = null;
  let job: HostedJob | null = null;
  let session: ModelSession | null = null;
  let past = { gradientBytesSent: 0, microBatchesDone: 0 };

  function join(): void {
    const self = { worker: id, incarnation: `i-${id.slice(2)}-${++incarnations}` };
    const late = lostAt(now(), limits) - limits.requestTimeoutMs;
    const hello = encodeMessage(helloSchema, {
      ...{ ...self, protocolVersion: PROTOCOL_VERSION, name: id, gpu: "model" },
    });
    const ask = (): void => {
      if (drainSince !== null) return leaveNow();
      // Whether the coordinator knows this incarnation or not, it may have given it up by now.
      if (now() >= late) return join();
      link.ask(helloSubject(id), hello, limits.requestTimeoutMs, (bytes) => {
        if (bytes === null) return link.after(HELLO_PAUSE_MS, ask);
        const welcome = decodeMessage(welcomeSchema, bytes, "the answer to hello");
        if (welcome.type === "refused") {
          world.note(id, `is refused: ${welcome.reason}`);
          return leaveNow();
        }
        world.note(id, `has joined as ${self.incarnation}`);
        const joined = member = { self, welcome };
        const goOn = (): void => {
          if (member !== joined || !isAlive) return;
          beat();
          link.after(limits.heartbeatIntervalMs, goOn);
        };
        goOn();
        startSession();
        look();
      });
    };
    ask();
  }

  function beat(): void {
    if (member === null || !isAlive) return;
    link.publish(heartbeatSubject(id), encodeMessage(heartbeatSchema, heartbeatOf(member.self)));
  }

  function heartbeatOf(self: MemberRef): Heartbeat {
    const busy = session?.busy ?? null;
    const { gradientBytesSent, microBatchesDone } = counts();
    return {
      ...{ ...self, name: id, gpu: "model", draining: drainSince !== null, maxGapMs: 0, microBatchesDone },
      ...{ tokensPerSecond: 0, gradientBytesSent, job: jobStatus() },
      linkBytesPerSecond: gradientBytesSent > 0 ? link.speed.downBytesPerSecond : null,
      busy: busy === null
        ? null
        : { step: busy.step, attempt: busy.attempt, index: busy.index, sinceMs: now() - busy.since },
    };
  }

  function counts() {
    return {
      gradientBytesSent: session?.gradientBytesSent ?? past.gradientBytesSent,
      microBatchesDone: past.microBatchesDone + (session?.microBatchesDone ?? 0),
    };
  }

  function jobStatus(): Heartbeat["job"] {
    if (job === null || job.phase === "over") return null;
    const { jobId, startId } = job.announcement;
    if (job.phase === "loading" || session === null) return { phase: "loading", jobId, startId };
    const elementCount = world.gradientBytes / 4;
    const layout = { tensorCount: 1, elementCount, parameterCount: elementCount };
    return { phase: "loaded", jobId, startId, layout, committed: job.held.committed };
  }

  function look(): void {
    if (!isAlive || member === null) return;
    if (fleet !== null && !isOlderFleet(fleet, member.welcome)) {
      if (memberAmong(fleet.members, member.self) === undefined) {
        world.note(id, "has been given up");
        member = null;
        endSession();
        return join();
      }
      const wanted = fleet.job;
      if (wanted !== null && wanted.startId !== job?.announcement.startId) load(wanted);
    }
    if (drainSince === null || isLeaving) return;
    const hasOthers = (fleet?.members.length ?? 1) > 1;
    const isLate = now() - drainSince > limits.drainMs;
    if (isLate || (session?.mayLeave(hasOthers) ?? true)) leave(member.self);
  }

  function load(announcement: JobAnnouncement): void {
    endSession();
    const held: ModelHeld = { committed: { step: 0, digest: INITIAL_DIGEST }, pending: null };
    const loading: HostedJob = job = { announcement, phase: "loading", held };
    beat();
    link.after(LOAD_MS * (0.8 + 0.4 * random.uniform()), () => {
      if (job !== loading) return;
      loading.phase = "loaded";
      startSession();
    });
  }

  function startSession(): void {
    if (job?.phase !== "loaded" || member === null || !isAlive) return;
    const hosted = job;
    session = startModelSession({
      ...{ world, self: member.self, job: hosted.announcement, held: hosted.held, link, random, paceMs, now },
      gradientBytesBefore: past.gradientBytesSent,
      onHeld: (held) => {
        const isNews = !sameCommit(held.committed, hosted.held.committed);
        hosted.held = held;
        if (isNews) beat();
      },
      onOver: () => {
        hosted.phase = "over";
        endSession();
        beat();
      },
      onLook: look,
    });
    beat();
  }

  function endSession(): void {
    past = counts();
    session?.close();
    session = null;
  }

  function leave(self: MemberRef): void {
    isLeaving = true;
    beat();
    const message = encodeMessage(leaveSchema, { ...self, reason: "drained" });
    link.ask(leaveSubject(id), message, limits.requestTimeoutMs, leaveNow);
  }

  function leaveNow(): void {
    world.note(id, "has left");
    end();
  }

  function end(): void {
    isAlive = false;
    // From here on nothing that it would still say is heard.
    link.kill();
    endSession();
    following.close();
  }

  const following = link.hear(FLEET_SUBJECT, (data) => {
    const state = world.decoded.fleet(data);
    if (fleet !== null && isOlderFleet(state, fleet)) return;
    const isRepeated = fleet?.term === state.term && fleet.generation === state.generation &&
      fleet.job?.startId === state.job?.startId;
    fleet = state;
    if (!isRepeated || drainSince !== null) look();
  });
  join();
  return {
    id,
    link,
    get isAlive() {
      return isAlive;
    },
    get isDrained() {
      return drainSince !== null;
    },
    drain: () => {
      drainSince ??= now();
      beat();
      link.after(0, look);
    },
    kill: end,
  };
}
