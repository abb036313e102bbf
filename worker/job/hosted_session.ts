import type { HostedJob } from "./hosted_job.ts";
import type { JobSession, Membership } from "./job_session.ts";

/** The session of a hosted job under one membership, and how far it is. */
export class HostedSession {
  readonly session: JobSession;
  readonly membership: Membership;
  readonly job: HostedJob;
  /** Receives what others send. */
  isReady = false;
  isStopping = false;

  constructor(session: JobSession, membership: Membership, job: HostedJob) {
    this.session = session;
    this.membership = membership;
    this.job = job;
  }

  get isServing(): boolean {
    return this.isReady && !this.isStopping;
  }

  /** Its failure is handled where it is started. */
  async end(): Promise<void> {
    this.isStopping = true;
    this.session.stop();
    await this.session.ended.catch(() => {});
  }
}
