/**
 * Loads the announced job and keeps it over memberships and broken connections. A level-triggered loop compares the wanted job
 * with the current one and does what is missing, one thing at a time.
 */
import { LoraFleetError } from "../../shared/errors.ts";
import { diskPauseMs } from "../../shared/protocol/limits.ts";
import type { JobAnnouncement } from "../../shared/protocol/messages_coordinator.ts";
import type { WorkerJob } from "../../shared/protocol/messages_worker.ts";
import { createChange } from "../async/change.ts";
import type { HostedJob } from "./hosted_job.ts";
import {
  failJob,
  isDone,
  isSameStart,
  isWorthReloading,
  logStart,
  newHostedJob,
  workerJobOf,
} from "./hosted_job.ts";
import { type HostedSession, type HostedSessionOptions, tryHostSession } from "./hosted_session.ts";
import type { Membership } from "./job_session.ts";
import { JobLoader, type JobLoaderOptions } from "./load_job.ts";

export interface JobHostOptions extends JobLoaderOptions, HostedSessionOptions {}

export class JobHost {
  readonly #options: JobHostOptions;
  readonly #loader: JobLoader;
  readonly #change = createChange();
  #wanted: JobAnnouncement | null = null;
  #membership: Membership | null = null;
  #hosted: HostedJob | null = null;
  #current: HostedSession | null = null;
  #loading = new AbortController();
  #isClosed = false;

  constructor(options: JobHostOptions) {
    this.#options = options;
    this.#loader = new JobLoader(options);
    void this.#run();
  }

  /** The job as heartbeats report it. */
  get job(): WorkerJob | null {
    return this.#hosted && workerJobOf(this.#hosted, this.#current?.isServing ?? false);
  }

  /** Whether no job runs here: none is announced, it is over, or it cannot run on this GPU. */
  get isIdle(): boolean {
    return this.#wanted === null || this.#hosted?.phase === "over" || this.#hosted?.phase === "failed";
  }

  /** Whether no job has the GPU or is about to: there is none, the last one is over, or it does not run here. */
  get isGpuFree(): boolean {
    const isStarting = this.#wanted !== null &&
      !isSameStart(this.#wanted, this.#hosted?.announcement ?? null);
    return !isStarting && (this.#hosted === null || isDone(this.#hosted));
  }

  /** Null changes nothing: after a restart the coordinator announces no job for a while. */
  announce(job: JobAnnouncement | null): void {
    const before = this.#wanted;
    this.#wanted = job;
    if (isSameStart(before, job)) return;
    if (this.#hosted !== null && !this.#isWanted(this.#hosted)) {
      this.#loading.abort(new LoraFleetError("aborted", "a different job is announced"));
      this.#current?.session.stop();
    }
    this.#change.notify();
  }

  /** Work as this member; null: stop working at once. */
  join(next: Membership | null): void {
    this.#membership = next;
    // At once: the old session's messages must not look like those of the next membership.
    if (this.#current !== null && this.#current.membership !== next) this.#current.session.stop();
    this.#change.notify();
  }

  mayLeave(hasOthers: boolean): boolean {
    return this.#current?.session.mayLeave(hasOthers) ?? true;
  }

  /** Resolves when the engine is idle. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#loading.abort(new LoraFleetError("aborted", "the worker is ending"));
    this.#current?.session.stop();
    this.#change.notify();
    await this.#current?.session.ended.catch(() => {});
    // Do not wait for a model that is still loading: nothing depends on it.
    void this.#loader.close();
  }

  async #run(): Promise<void> {
    while (!this.#isClosed) {
      const next = this.#change.next();
      await this.#settle();
      await next;
    }
    await this.#endSession();
  }

  async #settle(): Promise<void> {
    const current = this.#current;
    const isFit = current !== null && !current.isStopping && current.membership === this.#membership &&
      this.#isWanted(current.job);
    if (!isFit) await this.#endSession();
    if (this.#hosted?.phase === "over") await this.#loader.close();
    const isMissing = this.#hosted === null || !this.#isWanted(this.#hosted) ||
      this.#hosted.phase === "loading";
    if (this.#wanted !== null && isMissing && !this.#isClosed) await this.#load(this.#wanted);
    const [hosted, membership] = [this.#hosted, this.#membership];
    if (hosted?.phase === "loaded" && membership !== null && this.#current === null && !this.#isClosed) {
      this.#startSession(hosted, membership);
    }
  }

  /** A missing announcement does not mean that the job is unwanted. */
  #isWanted({ announcement }: HostedJob): boolean {
    return this.#wanted === null || isSameStart(this.#wanted, announcement);
  }

  async #load(announcement: JobAnnouncement): Promise<void> {
    const { log, onChange } = this.#options;
    const before = this.#hosted;
    const job = this.#hosted = newHostedJob(announcement, before);
    const { signal } = this.#loading = new AbortController();
    onChange();
    logStart(announcement, before, log);
    try {
      const loaded = await this.#loader.load(announcement, signal);
      Object.assign(job, { phase: "loaded", loaded, failure: null, fullDisks: 0 });
    } catch (thrown) {
      // An abort means that a different start is wanted, which replaces this one.
      if (!signal.aborted) this.#fail(job, thrown);
    }
    onChange();
    this.#change.notify();
  }

  #fail(job: HostedJob, thrown: unknown): void {
    const { code } = failJob(job, thrown, this.#options.log);
    if (code === "storage") void this.#retryLater(job);
    this.#options.onChange();
  }

  /** A full disk may have room later; until then other workers do the job. */
  async #retryLater(job: HostedJob): Promise<void> {
    const { clock, limits } = this.#options;
    await clock.sleep(diskPauseMs(++job.fullDisks, limits), this.#loading.signal).catch(() => {});
    if (this.#isClosed || this.#hosted !== job) return;
    job.phase = "loading";
    this.#change.notify();
  }

  #startSession(job: HostedJob, membership: Membership): void {
    const { log, onChange } = this.#options;
    this.#current = tryHostSession(this.#options, job, membership);
    this.#current?.watch((thrown) => {
      if (!isWorthReloading(job, thrown, log)) this.#fail(job, thrown);
    }, () => {
      this.#change.notify();
      onChange();
    });
  }

  async #endSession(): Promise<void> {
    await this.#current?.end();
    this.#current = null;
  }
}
