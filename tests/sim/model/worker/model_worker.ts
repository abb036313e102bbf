/**
 * A model worker's life in the fleet: hello, heartbeats, the job, leaving, as `worker/fleet/agent.ts` and
 * `worker/job/job_host.ts` have it. Thousands fit into one process: no promises, no engine, one link.
 */
import { encodeMessage } from "../../../../shared/protocol/messages_codec.ts";
import type { JobAnnouncement, MemberRef } from "../../../../shared/protocol/messages_coordinator.ts";
import { leaveSchema } from "../../../../shared/protocol/messages_worker.ts";
import { memberAmong } from "../../../../shared/protocol/sorted_members.ts";
import { FLEET_SUBJECT, leaveSubject } from "../../../../shared/protocol/subjects.ts";
import { isOlderFleet } from "../../../../shared/protocol/terms.ts";
import { sameCommit } from "../../../../worker/step/step_action.ts";
import { INITIAL_DIGEST } from "../world/contribution.ts";
import type { ModelLink } from "../world/model_link.ts";
import { LOAD_MS } from "../world/model_world.ts";
import { join } from "./join.ts";
import { startModelSession } from "./model_session.ts";
import { type ModelWorkerOptions, WorkerContext } from "./worker_context.ts";

export interface ModelWorker {
  readonly id: string;
  readonly link: ModelLink;
  /** Neither killed nor gone by itself. */
  readonly isAlive: boolean;
  readonly isDrained: boolean;
  drain(): void;
  kill(): void;
}

export function startModelWorker(options: ModelWorkerOptions): ModelWorker {
  const { world, id, link, now } = options;
  const context = new WorkerContext(options);

  const end = (): void => {
    context.isAlive = false;
    // Nothing that ending the session still sends gets out.
    link.kill();
    context.endSession();
    following.close();
  };
  const leave = (): void => {
    world.note(id, "has left");
    end();
  };
  const lookAround = (): void => look(context, { rejoin, leave, lookAround });
  const rejoin = (): void =>
    join(context, {
      onJoined: () => {
        startSession(context, lookAround);
        lookAround();
      },
      onGone: leave,
    });

  const following = link.hear(FLEET_SUBJECT, (data) => {
    const { fleet } = context;
    const state = world.decoded.fleet(data);
    if (fleet !== null && isOlderFleet(state, fleet)) return;
    const isRepeated = fleet?.term === state.term && fleet.generation === state.generation &&
      fleet.job?.startId === state.job?.startId;
    context.fleet = state;
    if (!isRepeated || context.drainSince !== null) lookAround();
  });
  rejoin();
  return {
    id,
    link,
    get isAlive() {
      return context.isAlive;
    },
    get isDrained() {
      return context.drainSince !== null;
    },
    drain: () => {
      context.drainSince ??= now();
      context.beat();
      link.after(0, lookAround);
    },
    kill: end,
  };
}

interface Reactions {
  readonly rejoin: () => void;
  readonly leave: () => void;
  readonly lookAround: () => void;
}

/** Follows the newest fleet state: joins again, loads a job, or leaves. */
function look(context: WorkerContext, { rejoin, leave, lookAround }: Reactions): void {
  const { world, id, now } = context.options;
  const { member, fleet, isAlive, drainSince } = context;
  if (!isAlive || member === null) return;
  if (fleet !== null && !isOlderFleet(fleet, member.welcome)) {
    if (memberAmong(fleet.members, member.self) === undefined) {
      world.note(id, "has been given up");
      context.member = null;
      context.endSession();
      return rejoin();
    }
    const wanted = fleet.job;
    if (wanted !== null && wanted.startId !== context.job?.announcement.startId) {
      load(context, wanted, lookAround);
    }
  }
  if (drainSince === null || context.isLeaving) return;
  const hasOthers = (fleet?.members.length ?? 1) > 1;
  const isLate = now() - drainSince > world.limits.drainMs;
  if (isLate || (context.session?.mayLeave(hasOthers) ?? true)) askToLeave(context, member.self, leave);
}

function load(context: WorkerContext, announcement: JobAnnouncement, lookAround: () => void): void {
  const { link, random } = context.options;
  context.endSession();
  const held = { committed: { step: 0, digest: INITIAL_DIGEST }, pending: null };
  const loading = context.job = { announcement, phase: "loading", held };
  context.beat();
  link.after(LOAD_MS * (0.8 + 0.4 * random.uniform()), () => {
    if (context.job !== loading) return;
    context.job.phase = "loaded";
    startSession(context, lookAround);
  });
}

/** Works under the present membership, if there are one and a loaded job. */
function startSession(context: WorkerContext, lookAround: () => void): void {
  const { job, member, isAlive } = context;
  if (job?.phase !== "loaded" || member === null || !isAlive) return;
  context.session = startModelSession({
    ...{ ...context.options, self: member.self, job: job.announcement, held: job.held },
    gradientBytesBefore: context.counts().gradientBytesSent,
    onHeld: (held) => {
      const isNews = !sameCommit(held.committed, job.held.committed);
      job.held = held;
      if (isNews) context.beat();
    },
    onOver: () => {
      job.phase = "over";
      context.endSession();
      context.beat();
    },
    onLook: lookAround,
  });
  context.beat();
}

function askToLeave(context: WorkerContext, self: MemberRef, leave: () => void): void {
  const { link, id, world: { limits } } = context.options;
  context.isLeaving = true;
  context.beat();
  const message = encodeMessage(leaveSchema, { ...self, reason: "drained" });
  link.ask(leaveSubject(id), message, limits.requestTimeoutMs, leave);
}
