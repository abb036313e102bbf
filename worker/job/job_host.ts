/**
 * Which job this worker has: loads the announced one and keeps it over memberships and broken connections. A level-triggered loop
 * compares what is wanted with what is there, and does what is missing, one thing at a time.
 */
import { LoraFleetError, messageOf } from "../../shared/errors.ts";
import { diskPauseMs } from "../../shared/protocol/limits.ts";
import type { JobAnnouncement, WorkerJob } from "../../shared/protocol/messages.ts";
import { createChange } from "../async/change.ts";
import type { HeldState } from "../step/own_attempt.ts";
import { sameCommit } from "../step/step_action.ts";
import { type HostedJob, isSameStart, jobFailureOf, newHostedJob, workerJobOf } from "./hosted_job.ts";
import { type JobSession, type JobSessionOptions, type Membership, startJobSession } from "./job_session.ts";
import { JobLoader, type JobLoaderOptions, type LoadedJob } from "./load_job.ts";

/** A job is reloaded up to this often after its GPU failed; its state comes from the other workers. */
const MAX_FAILED_SESSIONS = 3;

export interface JobHostOptions
  extends
    JobLoaderOptions,
    Pick<JobSessionOptions, "writeCheckpoint" | "clock" | "telemetry" | "onProgress"> {
  /** Called when the next heartbeat has something new to report. */
  readonly onChange: () => void;
}

interface HostedSession {
  readonly session: JobSession;
  readonly membership: Membership;
  readonly job: HostedJob;
  isReady: boolean;
  isStopping: boolean;
}

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

  /** As heartbeats report it. */
  get job(): WorkerJob | null {
    const current = this.#current;
    const isServing = current !== null && current.isReady && !current.isStopping;
    return this.#hosted && workerJobOf(this.#hosted, isServing);
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
    this.#change.tell();
  }

  /** Work as this member; null: stop working at once. */
  join(next: Membership | null): void {
    this.#membership = next;
    // At once: the old session's messages must not look like those of the next membership.
    if (this.#current !== null && this.#current.membership !== next) this.#current.session.stop();
    this.#change.tell();
  }

  mayLeave(hasOthers: boolean): boolean {
    return this.#current?.session.mayLeave(hasOthers) ?? true;
  }

  /** Resolves when the engine is idle. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#loading.abort(new LoraFleetError("aborted", "the worker is ending"));
    this.#current?.session.stop();
    this.#change.tell();
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
    const { jobId, model, baseModelName } = announcement;
    const isRestart = before?.announcement.jobId === jobId && !isSameStart(before.announcement, announcement);
    if (isRestart) log("info", `job ${jobId} starts again`);
    log("info", `job ${jobId} needs base model ${model.hash.slice(0, 12)} (${baseModelName})`);
    try {
      job.loaded = await this.#loader.load(announcement, signal);
      Object.assign(job, { phase: "loaded", failure: null, fullDisks: 0 });
    } catch (thrown) {
      // An abort means that a different start is wanted, which replaces this one.
      if (!signal.aborted) this.#fail(job, thrown);
    }
    onChange();
    this.#change.tell();
  }

  #fail(job: HostedJob, thrown: unknown): void {
    job.phase = "failed";
    job.loaded = null;
    job.failure = jobFailureOf(thrown);
    this.#options.log("error", `job ${job.announcement.jobId} does not run here: ${job.failure.message}`);
    if (job.failure.code === "storage") void this.#retryLater(job);
    this.#options.onChange();
  }

  /** A full disk may have room later; until then other workers do the job. */
  async #retryLater(job: HostedJob): Promise<void> {
    const { clock, limits } = this.#options;
    await clock.sleep(diskPauseMs(++job.fullDisks, limits), this.#loading.signal).catch(() => {});
    if (this.#isClosed || this.#hosted !== job) return;
    job.phase = "loading";
    this.#change.tell();
  }

  #startSession(job: HostedJob, membership: Membership): void {
    const loaded = job.loaded!;
    let session: JobSession;
    try {
      session = startJobSession({
        ...this.#options,
        ...loaded,
        job: job.announcement,
        membership,
        onHeld: (held) => this.#onHeld(loaded, held),
      });
    } catch (thrown) {
      // The bus was closed meanwhile; the next membership has a new one.
      return this.#options.log("warn", messageOf(thrown));
    }
    const started: HostedSession = { session, membership, job, isReady: false, isStopping: false };
    this.#current = started;
    session.ready.then(() => {
      started.isReady = true;
      this.#options.onChange();
    }, () => {});
    session.ended.then((outcome) => {
      if (outcome === "over") job.phase = "over";
    }, (thrown) => this.#onBrokenSession(job, thrown)).finally(() => {
      started.isStopping = true;
      this.#change.tell();
      this.#options.onChange();
    });
  }

  #onHeld(loaded: LoadedJob, held: HeldState): void {
    const isNew = !sameCommit(held.committed, loaded.held.committed);
    loaded.held = held;
    if (isNew) this.#options.onChange();
  }

  /** The engine's state is not to be trusted any more: a fresh one may get over what happened to the GPU. */
  #onBrokenSession(job: HostedJob, thrown: unknown): void {
    job.failedSessions++;
    if (job.failedSessions >= MAX_FAILED_SESSIONS) return this.#fail(job, thrown);
    this.#options.log("error", `${messageOf(thrown)}: loading the job again`);
    job.phase = "loading";
    job.loaded = null;
  }

  async #endSession(): Promise<void> {
    if (this.#current === null) return;
    const { session } = this.#current;
    this.#current.isStopping = true;
    session.stop();
    // Its failure is handled in `#startSession`.
    await session.ended.catch(() => {});
    this.#current = null;
  }
}
