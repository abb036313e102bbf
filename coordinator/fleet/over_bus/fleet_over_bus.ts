/** The fleet over the bus: who is a member, and one job's training at a time. Decisions are in membership.ts and step.ts. */
import type { Bus } from "../../../shared/bus/bus.ts";
import type { Clock } from "../../../shared/clock.ts";
import { newStartId } from "../../../shared/protocol/ids.ts";
import { LoraFleetError, quote } from "../../../shared/errors.ts";
import { announcementPauseMs, LIMITS, type Limits } from "../../../shared/protocol/limits.ts";
import type { Log } from "../../../shared/log.ts";
import {
  type CommitEntry,
  encodeMessage,
  fleetStateSchema,
  heartbeatSchema,
  type Hello,
  helloSchema,
  type JobAnnouncement,
  leaveSchema,
  receivedSchema,
  type Welcome,
  welcomeSchema,
} from "../../../shared/protocol/messages.ts";
import * as subjects from "../../../shared/protocol/subjects.ts";
import type { AdapterLayout } from "../../planning/adapter_layout.ts";
import type { ArtifactStore, StoredState } from "../../storage/artifact_store.ts";
import { type BrokerHealth, createBrokerHealth } from "../../broker/broker_health.ts";
import { createBrokerPatience } from "../../broker/broker_patience.ts";
import { appendCommit, readCommits } from "../run/commit_log.ts";
import type { Fleet, JobObserver } from "../fleet.ts";
import type { PlannedJob } from "../../planning/planned_job.ts";
import { createFloodGuard } from "../flood_guard.ts";
import { createHearing } from "./connectivity.ts";
import { announcementOf } from "../../planning/job_announcement.ts";
import { listenToWorkers, type OnDefect, type Word } from "../listen.ts";
import { createPaced } from "../paced.ts";
import { decideMembership, type Membership, type MembershipEvent, NOBODY } from "./membership.ts";
import {
  createMemoryQuarantineStore,
  createQuarantines,
  type QuarantineStore,
} from "../../access/quarantines.ts";
import { sentence } from "../../training/decision.ts";
import type { FleetView } from "../../training/state.ts";
import { type ResumedRun, startTrainingRun, type TrainingRun } from "../run/training_run.ts";
import { initialCommit } from "../../training/waiting.ts";
import { DamagedFileError } from "../../storage/verified_file.ts";
import { workerViews } from "./worker_views.ts";

export interface FleetOptions {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly coordinatorId: string;
  /** Larger than that of any coordinator that has led at this broker before. */
  readonly term: number;
  /** Whether it is certain to lead: it hears nobody while it is not. Left out: always. */
  readonly isHeld?: () => boolean;
  readonly artifacts: ArtifactStore;
  /** Where others report how the broker stores, too; left out: only what the training sees. */
  readonly health?: BrokerHealth;
  /** What is known of workers that get no work; in memory where it is left out. */
  readonly quarantines?: QuarantineStore;
  readonly limits?: Limits;
  readonly newStartId?: () => string;
  /** A secret for the checks of one run of a job; a random one. */
  readonly newCheckKey?: () => string;
  /** How a job's adapter has to lie in memory, by its base model; left out: workers are believed. */
  readonly layoutOf?: (planned: PlannedJob) => Promise<AdapterLayout | null>;
  /** A worker sends so much that it should be thrown out; left out: it is told of. */
  readonly onFlood?: (worker: string, reason: string) => void;
  /** Told of messages that no worker of ours would send, and of defects. */
  readonly onDefect: OnDefect;
  /** Told of workers that come and go while no job is trained: the others are events of that job. */
  readonly log?: Log;
}

/** The job's events tell of a broker that does not store once it has lasted so long: a restart takes a second. */
const TOLD_AFTER_MS = 2000;

/** Of one coordinator: each pause and each start of a job makes another one. */
const MOST_RUNS = 2 ** 20;

/** The commit of step 0 where a job trains on from an earlier one's adapter: whoever comes first loads it from here. */
function initialBase({ id, specHash, initial }: PlannedJob, now: number): StoredCommit | null {
  if (initial === null || initial === undefined) return null;
  const entry = initialCommit({ jobId: id, startId: "", specHash }, initial.digest, now);
  return { entry, state: initial };
}

/** How a job's training begins. */
interface Start {
  readonly startId: string;
  readonly resumed: ResumedRun | null;
}

/** A commit whose training state the coordinator has. */
interface StoredCommit {
  readonly entry: CommitEntry;
  readonly state: Pick<StoredState, "readWords">;
}

export interface RunningFleet extends Fleet {
  close(): void;
}

export function createFleet(options: FleetOptions): RunningFleet {
  const { bus, clock, coordinatorId, term, artifacts, limits = LIMITS, onDefect } = options;
  const newCheckKey = options.newCheckKey ?? (() => crypto.randomUUID());
  const startIdOf = options.newStartId ?? (() => newStartId());
  const quarantines = createQuarantines(options.quarantines ?? createMemoryQuarantineStore());
  let membership: Membership = NOBODY;
  let runCount = 0;
  let job: JobAnnouncement | null = null;
  /** The newest run that is closed: whether its job is over or only interrupted, the job service knows. */
  let past: { readonly jobId: string; readonly run: TrainingRun } | null = null;
  let run: TrainingRun | null = null;
  let observer: JobObserver | null = null;
  /** Heartbeats have come that the run has not seen. */
  let hasUnseen = false;
  const closing = new AbortController();
  const onFlood = (worker: string, reason: string) => {
    observer?.event("error", `${reason}.`, { worker });
    if (options.onFlood === undefined) {
      onDefect("a worker floods the coordinator", new LoraFleetError("corrupt", reason));
    } else options.onFlood(worker, reason);
  };
  const guard = createFloodGuard({ clock, limits, onDefect, onFlood });
  const health = options.health ?? createBrokerHealth(clock);
  /** To whom and since when the broker's trouble is told of. */
  let toldTrouble: { readonly to: JobObserver; readonly since: number } | null = null;
  const hearing = createHearing(clock.now(), limits, options.isHeld);
  bus.onStatus((status) => hearing.statusChanged(status, clock.now()));

  function view(): FleetView {
    const { generation, members } = membership;
    return {
      generation,
      members: members.map(({ worker, incarnation, gpu, heartbeat }) => ({
        worker,
        incarnation,
        gpu,
        draining: heartbeat?.draining ?? false,
        job: heartbeat?.job ?? null,
        busy: heartbeat?.busy ?? null,
        microBatchesDone: heartbeat?.microBatchesDone ?? 0,
        linkBytesPerSecond: heartbeat?.linkBytesPerSecond ?? null,
      })),
    };
  }

  /** A user who wonders why a worker does nothing finds the reason in the job's events. */
  function tellOfQuarantine(told: JobObserver | null, worker: string): void {
    const reasons = quarantines.of(worker)?.reasons.join("; ");
    if (reasons !== undefined) {
      told?.event("warn", `${worker} gets no work: it is in quarantine (${reasons}).`, { worker });
    }
  }

  /** A look at the whole fleet, with all that was heard so far. */
  function showFleet(): void {
    hasUnseen = false;
    run?.fleetChanged(view());
  }

  /** An event of the job that is trained; where none is, a line of the coordinator's log alone. */
  function tellOfMember(level: "info" | "warn", message: string, data: Record<string, unknown>): void {
    if (observer === null) options.log?.(level, message);
    else observer.event(level, message, data);
  }

  /** Decides, and tells whoever has to know. */
  function apply(event: MembershipEvent) {
    const decision = decideMembership(membership, event, clock.now(), limits);
    const isNews = decision.state.generation !== membership.generation;
    membership = decision.state;
    let isUrgent = isNews;
    for (const effect of decision.effects) {
      switch (effect.type) {
        case "told":
          // A look at everybody for each word of each of them would be too much for a large fleet.
          if (run?.heard(effect.heartbeat, effect.before)) isUrgent = true;
          hasUnseen = true;
          break;
        case "joined": {
          const { worker, name, gpu } = effect.member;
          tellOfMember("info", `${worker} (${name}, ${gpu}) has joined.`, { worker, name, gpu });
          tellOfQuarantine(observer, worker);
          break;
        }
        case "lost": {
          const { worker, name } = effect.member;
          tellOfMember("warn", `${worker} (${name}) is gone: ${effect.reason}.`, { worker, name });
          break;
        }
      }
    }
    if (isNews) announcement.soon();
    if (event.type === "tick" && hasUnseen) look.now();
    else if (isUrgent) look.soon();
    return decision;
  }

  const pauses = {
    clock,
    pauseMs: () => announcementPauseMs(membership.members.length, limits),
    signal: closing.signal,
  };
  const announcement = createPaced({ ...pauses, announce });
  // Ten thousand that join at once are not looked at ten thousand times, either.
  const look = createPaced({ ...pauses, announce: showFleet });

  function announce(): void {
    const { generation, members } = membership;
    bus.publish(
      subjects.FLEET_SUBJECT,
      encodeMessage(fleetStateSchema, {
        coordinatorId,
        term,
        generation,
        members: members.map(({ worker, incarnation }) => ({ worker, incarnation })),
        job,
      }),
    );
  }

  function welcome({ said: hello, respond }: Word<Hello>): void {
    const { state, effects } = apply({ type: "hello", hello });
    const refusal = effects.find((effect) => effect.type === "refused");
    const answer: Welcome = refusal === undefined
      ? { type: "welcome", coordinatorId, term, generation: state.generation }
      : { type: "refused", reason: refusal.reason };
    respond(encodeMessage(welcomeSchema, answer));
  }

  const received = encodeMessage(receivedSchema, { type: "received" });
  const subscriptions = [
    listenToWorkers(bus, {
      subject: subjects.helloSubject(subjects.ANY),
      schema: helloSchema,
      what: "hello",
      handle: welcome,
    }, guard),
    listenToWorkers(bus, {
      subject: subjects.leaveSubject(subjects.ANY),
      schema: leaveSchema,
      what: "leave",
      handle: ({ said: { worker, incarnation, reason }, respond }) => {
        apply({ type: "leave", worker, incarnation, reason });
        respond(received);
      },
    }, guard),
    listenToWorkers(bus, {
      subject: subjects.heartbeatSubject(subjects.ANY),
      schema: heartbeatSchema,
      what: "heartbeat",
      handle: ({ said }) => void apply({ type: "heartbeat", heartbeat: said }),
    }, guard),
  ];

  /** A user who wonders why no step comes finds the broker's trouble in the job's events: once, and its end. */
  function tellOfBroker(): void {
    const { trouble } = health;
    if (toldTrouble !== null && (trouble === null || toldTrouble.to !== observer)) {
      const seconds = Math.round((clock.now() - toldTrouble.since) / 1000);
      if (toldTrouble.to === observer) {
        observer.event("info", `The broker stores messages again, after ${seconds} s: the job goes on.`);
      }
      toldTrouble = null;
    }
    if (trouble === null || observer === null || toldTrouble !== null) return;
    if (clock.now() - trouble.since < TOLD_AFTER_MS) return;
    toldTrouble = { to: observer, since: trouble.since };
    observer.event(
      "warn",
      `The broker does not store messages (${trouble.problem}): the job waits and goes on by itself.`,
    );
  }

  /** Deadlines are looked at as often as heartbeats come; states are repeated. */
  async function keepTime(): Promise<void> {
    let repeatedAt = -Infinity;
    let lookedAt = clock.now();
    while (!closing.signal.aborted) {
      const milliseconds = hearing.deafMs(clock.now());
      if (milliseconds > 0) apply({ type: "deaf", milliseconds });
      // Nobody is late with work that the broker has not stored.
      const withoutBrokerMs = health.trouble === null ? 0 : clock.now() - lookedAt;
      lookedAt = clock.now();
      const lostMs = Math.max(milliseconds, withoutBrokerMs);
      if (lostMs > 0) run?.deaf(lostMs);
      tellOfBroker();
      apply({ type: "tick" });
      run?.tick();
      if (clock.now() - repeatedAt >= limits.announcementIntervalMs) {
        repeatedAt = clock.now();
        announcement.now();
        // Also how the last one has ended: who has not heard it would keep the job's base model in its GPU.
        (run ?? past?.run)?.announce();
      }
      const { heartbeatIntervalMs, announcementIntervalMs } = limits;
      await clock.sleep(Math.min(heartbeatIntervalMs, announcementIntervalMs), closing.signal);
    }
  }
  keepTime().catch((thrown) => {
    if (!closing.signal.aborted) onDefect("the fleet's clock has stopped", thrown);
  });

  /**
   * Makes queue and log ready. Goes on from the newest commit, where an earlier coordinator has left some and workers may
   * still hold its state; else from the newest commit whose state is stored; else from the beginning.
   */
  async function prepareStart(
    planned: PlannedJob,
    told: JobObserver,
    mayResume: boolean,
    found: { base?: StoredCommit | null },
  ): Promise<Start> {
    const [queue, log] = [subjects.workQueueName(planned.id), subjects.commitLogName(planned.id)];
    await bus.ensureStream(log, subjects.commitsSubject(planned.id));
    const commits = await readCommits(bus, planned.id);
    const newest = commits.at(-1);
    const isOurs = commits.every(({ entry }) =>
      entry.specHash === planned.specHash && entry.startId === newest!.entry.startId
    );
    // What waits in a queue is of an attempt that nobody knows any more.
    await bus.deleteQueue(queue);
    await bus.ensureQueue(queue, [subjects.allWorkSubject(planned.id)], {
      ackWaitMs: limits.microBatchAckWaitMs,
    });
    if (mayResume && isOurs && newest !== undefined) {
      const { entry, sequence } = newest;
      const known = await told.starting(entry.step);
      const untold = commits.map(({ entry }) => entry).filter(({ step }) => step > known.step);
      const adapter = known.checkpointSteps.includes(entry.step) && await isSound(planned.id, entry.step);
      const state = entry.step === 0 ? planned.initial ?? null : await stateOf(planned.id, entry, told);
      return { startId: entry.startId, resumed: { entry, sequence, untold, stored: { adapter, state } } };
    }

    // Kept where this is tried again: the log that has told it is deleted now.
    const base = found.base ??=
      (isOurs ? await newestStored(planned.id, commits.map(({ entry }) => entry), told) : null) ??
        initialBase(planned, clock.now());
    await bus.deleteStream(log);
    await bus.ensureStream(log, subjects.commitsSubject(planned.id));
    const startId = startIdOf();
    const known = await told.starting(base?.entry.step ?? 0);
    if (base === null) return { startId, resumed: null };
    const entry = { ...base.entry, startId };
    const sequence = await appendCommit(bus, entry, 0);
    const adapter = known.checkpointSteps.includes(entry.step) && await isSound(planned.id, entry.step);
    const stored = { adapter, state: base.state };
    return { startId, resumed: { entry, sequence, untold: [], stored } };
  }

  /** Whether the adapter's files are as they were stored; where they are not, a worker is asked for them again. */
  async function isSound(jobId: string, step: number): Promise<boolean> {
    const files = await artifacts.files(jobId, step);
    try {
      for (const file of files) await artifacts.path(jobId, step, file);
      return files.length > 0;
    } catch (thrown) {
      onDefect(`the adapter of step ${step} of job ${jobId} is stored no more`, thrown);
      return false;
    }
  }

  /** The newest commit whose training state is stored; null where there is none. */
  async function newestStored(
    jobId: string,
    commits: readonly CommitEntry[],
    told: JobObserver,
  ): Promise<StoredCommit | null> {
    for (const entry of commits.toReversed()) {
      const state = await stateOf(jobId, entry, told);
      if (state !== null) return { entry, state };
    }
    return null;
  }

  /** Where the training state of a commit is stored: of the initial adapter, which follows from the seed, nowhere. */
  async function stateOf(
    jobId: string,
    { step }: CommitEntry,
    told: JobObserver,
  ): Promise<StoredState | null> {
    try {
      return step === 0 ? null : await artifacts.state(jobId, step);
    } catch (thrown) {
      if (!(thrown instanceof DamagedFileError)) throw thrown;
      told.event("warn", sentence(`${thrown.message}; training cannot go on from there`));
      return null;
    }
  }

  /** Whatever is not done by then waits for a broker that is away. */
  async function unlessLate(done: Promise<void>): Promise<void> {
    const waiting = new AbortController();
    const late = clock.sleep(limits.transferBaseMs, waiting.signal).catch(() => {});
    await Promise.race([done, late]);
    waiting.abort();
  }

  async function trainOnce(
    planned: PlannedJob,
    told: JobObserver,
    signal: AbortSignal,
    mayResume: boolean,
  ): Promise<"done" | "restart"> {
    // A job that is paused and resumed at once: its queue is not to be purged by the run before.
    if (past !== null) await unlessLate(past.run.settled());
    const patience = createBrokerPatience({
      ...{ clock, limits, signal, mend: () => Promise.resolve() },
      report: (problem) => health.report(planned.id, problem),
    });
    const found = {};
    const start = await patience.insist(
      () => prepareStart(planned, told, mayResume, found),
      () => closing.signal.aborted,
    );
    signal.throwIfAborted();
    closing.signal.throwIfAborted();
    const { startId, resumed } = start!;
    const layout = options.layoutOf === undefined ? null : await options.layoutOf(planned);
    signal.throwIfAborted();
    for (const { worker } of membership.members) tellOfQuarantine(told, worker);
    if (membership.members.length === 0) told.event("info", "The job waits for a worker to join.");
    const aborted = Promise.withResolvers<never>();
    const onAbort = () => aborted.reject(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    job = announcementOf(planned, startId);
    announcement.now();
    run = startTrainingRun({
      ...{ bus, clock, limits, artifacts, startId, resumed, layout, guard, onDefect },
      checkKey: newCheckKey(),
      job: planned,
      term: term * MOST_RUNS + ++runCount,
      observer: told,
      fleet: view(),
      quarantined: quarantines.workers(),
      onBrokerTrouble: (problem) => health.report(planned.id, problem),
      onQuarantine: ({ worker, reasons, until }) => {
        try {
          quarantines.add({ worker, reasons, until, since: clock.now(), jobId: planned.id });
        } catch (thrown) {
          onDefect(`the quarantine of ${worker} holds, but not beyond the end of this coordinator`, thrown);
        }
      },
    });
    for (const { heartbeat } of membership.members) if (heartbeat !== null) run.heard(heartbeat, null);
    try {
      return await Promise.race([run.outcome, aborted.promise]);
    } finally {
      signal.removeEventListener("abort", onAbort);
      run.outcome.catch(() => {});
      run.close();
      past = { jobId: planned.id, run };
      run = null;
    }
  }

  return {
    workers: () =>
      workerViews(membership, quarantines, run?.strikes ?? new Map(), run?.accusations ?? new Map()),
    checkpointAssignment: (jobId) => job?.jobId === jobId ? run?.checkpointAssignment ?? null : null,
    checkpointDamaged: (jobId, step) => job?.jobId === jobId && run?.checkpointDamaged(step) === true,
    reinstate(worker) {
      if (!quarantines.lift(worker)) {
        throw new LoraFleetError(
          "not_found",
          `${quote(worker)} is not reinstated: it is not in quarantine; GET /v1/workers lists who is`,
          { param: "id" },
        );
      }
      observer?.event("info", `${worker} is reinstated.`, { worker });
      run?.reinstate(worker);
      run?.fleetChanged(view());
    },
    async train(planned, told, signal) {
      observer = told;
      try {
        for (let mayResume = true; await trainOnce(planned, told, signal, mayResume) === "restart";) {
          mayResume = false;
          signal.throwIfAborted();
        }
      } finally {
        observer = null;
        quarantines.jobEnded(planned.id);
      }
    },
    async forget(jobId, end) {
      if (job?.jobId === jobId) job = null;
      announcement.now();
      if (past?.jobId === jobId) past.run.dismiss(end);
      try {
        await bus.deleteQueue(subjects.workQueueName(jobId));
        await bus.deleteStream(subjects.commitLogName(jobId));
        await artifacts.dropStates(jobId, null);
      } catch (thrown) {
        onDefect(`the queue, the log or the training states of ${jobId} are left behind`, thrown);
      }
    },
    close: () => {
      closing.abort();
      for (const subscription of subscriptions) subscription.close();
    },
  };
}
