/** The session of a hosted job under one membership. */
import { messageOf } from "../../shared/errors.ts";
import { logAbout } from "../../shared/log.ts";
import type { HeldState } from "../step/own_attempt.ts";
import { sameCommit } from "../step/step_action.ts";
import type { HostedJob } from "./hosted_job.ts";
import { JobSession, type JobSessionOptions, type Membership } from "./job_session.ts";
import type { LoadedJob } from "./load_job.ts";

export interface HostedSessionOptions
  extends Omit<JobSessionOptions, keyof LoadedJob | "job" | "membership" | "onHeld"> {
  /** Called when the next heartbeat has something new to report. */
  readonly onChange: () => void;
}

export class HostedSession {
  readonly session: JobSession;
  readonly membership: Membership;
  readonly job: HostedJob;
  #isReady = false;
  #isStopping = false;

  /** Throws if the bus is closed. */
  constructor(options: HostedSessionOptions, job: HostedJob, membership: Membership) {
    const loaded = job.loaded!;
    const onHeld = (held: HeldState) => {
      const isNew = !sameCommit(held.committed, loaded.held.committed);
      loaded.held = held;
      if (isNew) options.onChange();
    };
    this.job = job;
    this.membership = membership;
    const log = logAbout(options.log, { job: job.announcement.jobId });
    this.session = new JobSession({ ...options, ...loaded, log, job: job.announcement, membership, onHeld });
    this.session.ready.then(() => {
      this.#isReady = true;
      options.onChange();
    }, () => {});
  }

  get isStopping(): boolean {
    return this.#isStopping;
  }

  /** Whether the session receives what others send. */
  get isServing(): boolean {
    return this.#isReady && !this.#isStopping;
  }

  /** Calls `onFailed` if the session fails, then `onEnded` in any case. */
  watch(onFailed: (thrown: unknown) => void, onEnded: () => void): void {
    this.session.ended.then((outcome) => {
      if (outcome === "over") this.job.phase = "over";
    }, onFailed).finally(() => {
      this.#isStopping = true;
      onEnded();
    });
  }

  /** Ignores a failure: `watch` handles it. */
  async end(): Promise<void> {
    this.#isStopping = true;
    this.session.stop();
    await this.session.ended.catch(() => {});
  }
}

/** Null if the bus was closed meanwhile; the next membership has a new one. */
export function tryHostSession(...args: ConstructorParameters<typeof HostedSession>): HostedSession | null {
  try {
    return new HostedSession(...args);
  } catch (thrown) {
    args[0].log("warn", messageOf(thrown));
    return null;
  }
}
