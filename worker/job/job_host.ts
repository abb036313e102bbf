/**
 * Which job this worker has: fetches the base model, loads it, and keeps both over memberships and broken connections. Like
 * everything here it compares what is wanted with what is there and does what is missing, one thing at a time.
 */
import type { Clock } from "../../shared/clock.ts";
import { type ErrorCode, LoraFleetError, messageOf } from "../../shared/errors.ts";
import { diskPauseMs, type Limits } from "../../shared/protocol/limits.ts";
import type { Heartbeat, JobAnnouncement, WorkerJob } from "../../shared/protocol/messages.ts";
import { createChange } from "../async/change.ts";
import type { Engine, EngineSpec, LoadedEngine } from "../engine/engine.ts";
import { type JobSession, type Membership, startJobSession, type WriteCheckpoint } from "./job_session.ts";
import { LocalStepsEngine } from "../local_steps/local_steps_engine.ts";
import type { Log } from "../../shared/log.ts";
import { sameCommit } from "../step/step_action.ts";
import { createThroughput } from "./throughput.ts";
import type { HeldState } from "../step/train_step.ts";

/** A job is loaded again so often after its GPU has failed; its state comes from the others. */
const MAX_FAILED_SESSIONS = 3;

/** A folder with the job's base model and nothing else. */
export type FindBaseModel = (job: JobAnnouncement, signal: AbortSignal) => Promise<string>;

export interface JobHostOptions {
  /** An engine for each job: with the old one goes all its memory, and whatever was wrong with its GPU. */
  readonly newEngine: () => Engine;
  readonly engineLimits: Pick<EngineSpec, "allowCpu" | "memoryBudgetBytes">;
  readonly findBaseModel: FindBaseModel;
  readonly writeCheckpoint: WriteCheckpoint;
  readonly clock: Clock;
  readonly limits: Limits;
  readonly log: Log;
  /** Told when the heartbeat has something new to say. */
  readonly onChange: () => void;
  /** Told when the worker may have become dispensable. */
  readonly onProgress: () => void;
}

export interface JobHost {
  readonly telemetry: Pick<
    Heartbeat,
    "job" | "busy" | "microBatchesDone" | "tokensPerSecond" | "gradientBytesSent" | "linkBytesPerSecond"
  >;
  /** The announced job; null where there is none, which changes nothing: a coordinator that restarts has none for a while. */
  announce(job: JobAnnouncement | null): void;
  /** Work as this member; null: as none, at once. */
  join(membership: Membership | null): void;
  mayLeave(hasOthers: boolean): boolean;
  /** Resolves when the engine has nothing more to do. */
  close(): Promise<void>;
}

/** The job that is being loaded, is loaded, has failed or is over. */
interface HostedJob {
  readonly announcement: JobAnnouncement;
  phase: "loading" | "loaded" | "failed" | "over";
  loaded: { readonly engine: Engine; readonly layout: LoadedEngine["layout"]; held: HeldState } | null;
  /** How often its session has failed: the engine's state was not to be trusted any more. */
  failedSessions: number;
  /** How often the disk did not take the base model. */
  fullDisks: number;
  /** Told until the job is loaded, also while that is tried again. */
  failure: { readonly code: ErrorCode; readonly message: string; readonly param: string | null } | null;
}

interface HostedSession {
  readonly session: JobSession;
  readonly membership: Membership;
  readonly job: HostedJob;
  isReady: boolean;
  isStopping: boolean;
}

export function createJobHost(options: JobHostOptions): JobHost {
  const { clock, log } = options;
  const change = createChange();
  const throughput = createThroughput(clock);
  let wanted: JobAnnouncement | null = null;
  let membership: Membership | null = null;
  let hosted: HostedJob | null = null;
  let current: HostedSession | null = null;
  let loading = new AbortController();
  let engine: Engine | null = null;
  let busy: {
    readonly step: number;
    readonly attempt: number;
    readonly index: number;
    readonly since: number;
  } | null = null;
  let pastGradientBytes = 0;
  let pastLinkSpeed: number | null = null;
  let isClosed = false;

  async function run(): Promise<void> {
    while (!isClosed) {
      const next = change.next();
      await settle();
      await next;
    }
    await endSession();
  }

  async function settle(): Promise<void> {
    const isFit = current !== null && !current.isStopping && current.membership === membership &&
      isWanted(current.job);
    if (!isFit) await endSession();
    if (hosted?.phase === "over") await closeEngine();
    const isMissing = hosted === null || !isWanted(hosted) || hosted.phase === "loading";
    if (wanted !== null && isMissing && !isClosed) await load(wanted);
    if (hosted?.phase === "loaded" && membership !== null && current === null && !isClosed) {
      startSession(hosted, membership);
    }
  }

  /** No announcement does not mean that the job is not wanted. */
  function isWanted({ announcement }: HostedJob): boolean {
    return wanted === null || wanted.startId === announcement.startId && wanted.jobId === announcement.jobId;
  }

  function engineFor({ localSteps, optimizer }: JobAnnouncement): Engine {
    const engine = options.newEngine();
    if (localSteps === null) return engine;
    const headroomBits = options.limits.exponentHeadroomBits;
    return new LocalStepsEngine(engine, { optimizer, outer: localSteps, headroomBits });
  }

  async function load(announcement: JobAnnouncement): Promise<void> {
    const { failedSessions, fullDisks, failure } = hosted !== null && isWanted(hosted)
      ? hosted
      : { failedSessions: 0, fullDisks: 0, failure: null };
    const job: HostedJob = {
      announcement,
      phase: "loading",
      loaded: null,
      failure,
      failedSessions,
      fullDisks,
    };
    const isAgain = hosted?.announcement.jobId === announcement.jobId && !isWanted(hosted);
    hosted = job;
    const { signal } = loading = new AbortController();
    options.onChange();
    const { jobId, model } = announcement;
    if (isAgain) log("info", `job ${jobId} starts again`);
    log("info", `job ${jobId} needs base model ${model.hash.slice(0, 12)} (${announcement.baseModelName})`);
    try {
      await closeEngine();
      const modelFolder = await options.findBaseModel(announcement, signal);
      signal.throwIfAborted();
      log("info", `loading ${modelFolder}`);
      engine = engineFor(announcement);
      const spec = { modelFolder, ...announcement.engine, ...options.engineLimits };
      const { layout, digest, planText } = await engine.load(spec);
      job.loaded = { engine, layout, held: { committed: { step: 0, digest }, pending: null } };
      Object.assign(job, { phase: "loaded", failure: null, fullDisks: 0 });
      log("info", `job ${jobId} is loaded: ${layout.parameterCount} LoRA parameters\n${planText}`);
    } catch (thrown) {
      // Where it is aborted another start is wanted, so that the next look replaces it.
      if (!signal.aborted) fail(job, thrown);
    }
    options.onChange();
    change.tell();
  }

  async function closeEngine(): Promise<void> {
    const old = engine;
    engine = null;
    await old?.close().catch((thrown) => log("warn", `the engine did not close: ${messageOf(thrown)}`));
  }

  function fail(job: HostedJob, thrown: unknown): void {
    const { code, param } = thrown instanceof LoraFleetError
      ? thrown
      : { code: "gpu_failure" as const, param: null };
    job.phase = "failed";
    job.loaded = null;
    const isFull = code === "storage";
    const advice = isFull
      ? "; this worker tries again by itself: make room on the disk of its cache folder"
      : "";
    const message = `${messageOf(thrown).slice(0, 3800)}${advice}`;
    job.failure = { code, message, param };
    log("error", `job ${job.announcement.jobId} does not run here: ${message}`);
    if (isFull) void tryAgainLater(job);
    options.onChange();
  }

  /** A full disk may have room later; until then other workers do the job. */
  async function tryAgainLater(job: HostedJob): Promise<void> {
    await clock.sleep(diskPauseMs(++job.fullDisks, options.limits), loading.signal).catch(() => {});
    if (isClosed || hosted !== job) return;
    job.phase = "loading";
    change.tell();
  }

  /** The engine's state is not to be trusted any more: a fresh one may get over what has happened to the GPU. */
  function onBrokenSession(job: HostedJob, thrown: unknown): void {
    job.failedSessions++;
    if (job.failedSessions >= MAX_FAILED_SESSIONS) return fail(job, thrown);
    log("error", `${messageOf(thrown)}: loading the job again`);
    job.phase = "loading";
    job.loaded = null;
  }

  function startSession(job: HostedJob, membership: Membership): void {
    const loaded = job.loaded!;
    let session: JobSession;
    try {
      session = sessionOf(job, loaded, membership);
    } catch (thrown) {
      // The bus was closed meanwhile; the next membership has another one.
      return log("warn", messageOf(thrown));
    }
    const started: HostedSession = current = { session, membership, job, isReady: false, isStopping: false };
    session.ready.then(() => {
      started.isReady = true;
      options.onChange();
    }, () => {});
    session.ended.then((outcome) => {
      if (outcome === "over") job.phase = "over";
    }, (thrown) => onBrokenSession(job, thrown)).finally(() => {
      started.isStopping = true;
      change.tell();
      options.onChange();
    });
  }

  function sessionOf(
    job: HostedJob,
    loaded: NonNullable<HostedJob["loaded"]>,
    membership: Membership,
  ): JobSession {
    return startJobSession({
      ...options,
      job: job.announcement,
      engine: loaded.engine,
      layout: loaded.layout,
      membership,
      held: loaded.held,
      gradientBytesBefore: pastGradientBytes,
      onHeld: (held) => {
        const isNews = !sameCommit(held.committed, loaded.held.committed);
        loaded.held = held;
        if (isNews) options.onChange();
      },
      onBusy: (now) => busy = now === null ? null : { ...now, since: clock.now() },
      onComputed: (tokenCount) => throughput.add(tokenCount),
    });
  }

  async function endSession(): Promise<void> {
    if (current === null) return;
    const { session } = current;
    current.isStopping = true;
    session.stop();
    // What it failed with has been told already.
    await session.ended.catch(() => {});
    pastGradientBytes = session.gradientBytesSent;
    pastLinkSpeed = session.linkBytesPerSecond ?? pastLinkSpeed;
    busy = null;
    current = null;
  }

  function statusOf({ announcement, phase, loaded, failure }: HostedJob): WorkerJob | null {
    const { jobId, startId } = announcement;
    if (phase === "over") return null;
    if (failure !== null) return { phase: "failed", jobId, startId, ...failure };
    if (loaded === null || current?.isReady !== true || current.isStopping) {
      return { phase: "loading", jobId, startId };
    }
    const { tensors, elementCount, parameterCount } = loaded.layout;
    const layout = { tensorCount: tensors.length, elementCount, parameterCount };
    return { phase: "loaded", jobId, startId, layout, committed: loaded.held.committed };
  }

  void run();
  return {
    get telemetry() {
      return {
        job: hosted === null ? null : statusOf(hosted),
        busy: busy === null ? null : {
          step: busy.step,
          attempt: busy.attempt,
          index: busy.index,
          sinceMs: Math.max(0, clock.now() - busy.since),
        },
        microBatchesDone: throughput.microBatchesDone,
        tokensPerSecond: throughput.tokensPerSecond,
        gradientBytesSent: current?.session.gradientBytesSent ?? pastGradientBytes,
        linkBytesPerSecond: current?.session.linkBytesPerSecond ?? pastLinkSpeed,
      };
    },
    announce: (job) => {
      const before = wanted;
      wanted = job;
      if (before?.startId === job?.startId && before?.jobId === job?.jobId) return;
      if (hosted !== null && !isWanted(hosted)) {
        loading.abort(new LoraFleetError("aborted", "another job is announced"));
        current?.session.stop();
      }
      change.tell();
    },
    join: (next) => {
      membership = next;
      // At once: what it still does must not look like the work of the next membership.
      if (current !== null && current.membership !== next) current.session.stop();
      change.tell();
    },
    mayLeave: (hasOthers) => current?.session.mayLeave(hasOthers) ?? true,
    close: async () => {
      isClosed = true;
      loading.abort(new LoraFleetError("aborted", "the worker is ending"));
      current?.session.stop();
      change.tell();
      await current?.session.ended.catch(() => {});
      // A model that is being loaded is not waited for: nothing depends on it.
      void closeEngine();
    },
  };
}
