/** What a model worker knows of itself and of the fleet, and the heartbeat that it publishes from it. */
import { encodeMessage } from "../../../../shared/protocol/messages_codec.ts";
import type {
  FleetState,
  JobAnnouncement,
  MemberRef,
} from "../../../../shared/protocol/messages_coordinator.ts";
import { type Heartbeat, heartbeatSchema } from "../../../../shared/protocol/messages_worker.ts";
import type { Prng } from "../../../../shared/prng.ts";
import { heartbeatSubject } from "../../../../shared/protocol/subjects.ts";
import type { FleetAge } from "../../../../shared/protocol/terms.ts";
import type { ModelLink } from "../world/model_link.ts";
import type { ModelWorld } from "../world/model_world.ts";
import type { ModelSession } from "./model_session.ts";
import type { ModelHeld } from "./session_context.ts";

export interface ModelWorkerOptions {
  readonly world: ModelWorld;
  readonly id: string;
  readonly link: ModelLink;
  readonly random: Prng;
  readonly paceMs: number;
  readonly now: () => number;
}

interface HostedJob {
  readonly announcement: JobAnnouncement;
  phase: "loading" | "loaded" | "over";
  held: ModelHeld;
}

export class WorkerContext {
  readonly options: ModelWorkerOptions;
  incarnations = 0;
  isAlive = true;
  drainSince: number | null = null;
  isLeaving = false;
  fleet: FleetState | null = null;
  member: { readonly self: MemberRef; readonly welcome: FleetAge } | null = null;
  job: HostedJob | null = null;
  session: ModelSession | null = null;
  #past = { gradientBytesSent: 0, microBatchesDone: 0 };

  constructor(options: ModelWorkerOptions) {
    this.options = options;
  }

  /** Publishes a heartbeat, as a member. */
  beat(): void {
    const { member, isAlive, options: { link, id } } = this;
    if (member === null || !isAlive) return;
    link.publish(heartbeatSubject(id), encodeMessage(heartbeatSchema, this.#heartbeatOf(member.self)));
  }

  endSession(): void {
    this.#past = this.counts();
    this.session?.close();
    this.session = null;
  }

  /** Over all sessions. */
  counts() {
    const past = this.#past;
    return {
      gradientBytesSent: this.session?.gradientBytesSent ?? past.gradientBytesSent,
      microBatchesDone: past.microBatchesDone + (this.session?.microBatchesDone ?? 0),
    };
  }

  #heartbeatOf(self: MemberRef): Heartbeat {
    const { id, link, now } = this.options;
    const busy = this.session?.busy ?? null;
    const { gradientBytesSent, microBatchesDone } = this.counts();
    return {
      ...{
        ...self,
        name: id,
        gpu: "model",
        draining: this.drainSince !== null,
        maxGapMs: 0,
        microBatchesDone,
      },
      ...{ tokensPerSecond: 0, gradientBytesSent, job: this.#jobStatus() },
      linkBytesPerSecond: gradientBytesSent > 0 ? link.speed.downBytesPerSecond : null,
      busy: busy === null
        ? null
        : { step: busy.step, attempt: busy.attempt, index: busy.index, sinceMs: now() - busy.since },
    };
  }

  #jobStatus(): Heartbeat["job"] {
    const { job, session, options: { world } } = this;
    if (job === null || job.phase === "over") return null;
    const { jobId, startId } = job.announcement;
    if (job.phase === "loading" || session === null) return { phase: "loading", jobId, startId };
    const elementCount = world.gradientBytes / 4;
    const layout = { tensorCount: 1, elementCount, parameterCount: elementCount };
    return { phase: "loaded", jobId, startId, layout, committed: job.held.committed };
  }
}
