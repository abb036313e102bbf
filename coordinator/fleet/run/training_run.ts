/** Carries out the decisions of step.ts for one start of one job: messages in, announcements, queue, log and observer out. */
import type { z } from "zod";
import type { Bus, Subscription } from "../../../shared/bus/bus.ts";
import type { Clock } from "../../../shared/clock.ts";
import { STATE_FILE_NAME } from "../../../shared/protocol/checkpoint_format.ts";
import { LoraFleetError, messageOf } from "../../../shared/errors.ts";
import { announcementPauseMs, type Limits } from "../../../shared/protocol/limits.ts";
import {
  attemptFailureSchema,
  checkpointReportSchema,
  encodeMessage,
  isJobEnd,
  itemRequestSchema,
  microBatchReportSchema,
  receivedSchema,
  stepStateSchema,
  updateReportSchema,
  verdictAnswerSchema,
} from "../../../shared/protocol/messages.ts";
import type {
  AttemptFailure,
  CheckpointReport,
  CommitEntry,
  Heartbeat,
  ItemRequest,
  JobEnd,
  RowsRequest,
  UpdateReport,
} from "../../../shared/protocol/messages.ts";
import * as subjects from "../../../shared/protocol/subjects.ts";
import type { AdapterLayout } from "../../planning/adapter_layout.ts";
import type { ArtifactStore, StoredState } from "../../storage/artifact_store.ts";
import { appendCommit, restoreCommitLog } from "./commit_log.ts";
import { isAudited } from "../../training/audit_choice.ts";
import type { CheckpointAssignment } from "../../training/upload_decision.ts";
import type { JobObserver, StepReport } from "../fleet.ts";
import type { PlannedJob } from "../../planning/planned_job.ts";
import type { WorkerQuarantine } from "../../access/quarantines.ts";
import type { FloodGuard } from "../flood_guard.ts";
import { createBrokerPatience } from "../../broker/broker_patience.ts";
import { createGradientBytes } from "./gradient_bytes.ts";
import { listenToWorkers, type OnDefect, type Word, type WorkerWords } from "../listen.ts";
import { localReportOf } from "../../planning/local_plan.ts";
import { serveRows } from "./rows_server.ts";
import { decideStep, resume } from "../../training/step.ts";
import { accusationsOf } from "../../training/accusations.ts";
import { createPaced } from "../paced.ts";
import { withoutQuarantined } from "../../training/strikes.ts";
import { isOfAttempt } from "../../training/decision.ts";
import { isNews, isSameLayout } from "../../training/eligibility.ts";
import type { StepEffect, StepEvent } from "../../training/effects.ts";
import { learningRateOf } from "../../training/exponents.ts";
import { serveStoredState } from "./state_server.ts";
import { type FleetView, isStateStored, newTraining, stepStateOf, type Training } from "../../training/state.ts";
import type { TrainingPlan } from "../../training/plan.ts";
import { tokenCountOf } from "../../planning/token_count.ts";
import { cachedByStep, itemsOf } from "../../planning/work_items.ts";

export interface TrainingRunOptions {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly limits: Limits;
  readonly artifacts: ArtifactStore;
  readonly job: PlannedJob;
  readonly startId: string;
  /** Larger than that of any earlier run of the job, also under another coordinator. */
  readonly term: number;
  /** A secret that nobody has had before: what workers are checked by follows from it. */
  readonly checkKey: string;
  /** The adapter's, by the job and its base model; null where it is not known. */
  readonly layout: AdapterLayout | null;
  readonly observer: JobObserver;
  readonly fleet: FleetView;
  /** Workers that get no work. */
  readonly quarantined: ReadonlySet<string>;
  /** Told of a worker that gets none from now on. */
  readonly onQuarantine: (found: Omit<WorkerQuarantine, "since" | "jobId">) => void;
  /** Where an earlier coordinator has left this start; null for a new one. */
  readonly resumed: ResumedRun | null;
  readonly guard: FloodGuard;
  /** Told what keeps the broker from storing something, and with null that it does again. */
  readonly onBrokerTrouble?: (problem: string | null) => void;
  /** Told of defects. */
  readonly onDefect: OnDefect;
}

export interface ResumedRun {
  /** The newest commit of the log. */
  readonly sequence: number;
  readonly entry: CommitEntry;
  readonly stored: {
    /** Whether its adapter is stored, where it has to be. */
    readonly adapter: boolean;
    /** Where its training state is stored; null where it is not. */
    readonly state: Pick<StoredState, "readWords"> | null;
  };
  /** Commits that the observer was not told of. */
  readonly untold: readonly CommitEntry[];
}

export interface TrainingRun {
  /** Everything is stored, or the job has to start again. Rejects with a `LoraFleetError` where it cannot be done. */
  readonly outcome: Promise<"done" | "restart">;
  fleetChanged(fleet: FleetView): void;
  /** Whether the fleet with this heartbeat is to be told at once; else the next tick is soon enough. */
  heard(heartbeat: Heartbeat, before: Heartbeat | null): boolean;
  /** A worker in quarantine shall have work again. */
  reinstate(worker: string): void;
  /** What each worker was to blame for so far. */
  readonly strikes: ReadonlyMap<string, readonly string[]>;
  /** What each has said about others lately, and others about it. */
  readonly accusations: ReadonlyMap<string, readonly string[]>;
  /** The checkpoint that is being written now. */
  readonly checkpointAssignment: CheckpointAssignment | null;
  /** A step's adapter is lost; whether a worker is asked to write it again. */
  checkpointDamaged(step: number): boolean;
  /** Nobody could be heard for so long. */
  deaf(milliseconds: number): void;
  tick(): void;
  /** Tells everybody the state of the step. */
  announce(): void;
  /** Stops, and lets the workers stop; queue and log are left to the caller. */
  close(): void;
  /** Resolves when what the closed run was doing to queue and log is done: it would fall upon another run's. */
  settled(): Promise<void>;
  /** Tells workers that the closed job does not go on, and how it has ended. */
  dismiss(end: JobEnd): void;
}

/** What an update and a failure tell alike. */
type Outcome = Pick<UpdateReport & AttemptFailure, "worker" | "incarnation" | "gradientBytesSent">;

interface Queued
  extends Pick<Extract<StepEffect, { type: "requeue" }>, "step" | "attempt" | "time" | "purge"> {
  /** Null: all of them. */
  readonly indices: readonly number[] | null;
}

/** The job's queue and an empty log must be there. */
export function startTrainingRun(options: TrainingRunOptions): TrainingRun {
  const { bus, clock, limits, artifacts, job, startId, observer, guard, onDefect } = options;
  const { local = null } = job;
  const savesState = !job.spec.training.save_only_model;
  const items = cachedByStep((step) => itemsOf(job, step));
  const plan: TrainingPlan = {
    jobId: job.id,
    startId,
    specHash: job.specHash,
    totalSteps: job.totalSteps,
    checkpointSteps: job.checkpointSteps,
    schedule: job.spec.training,
    microBatchCountOf: (step) => items(step).length,
    local,
    isAudited: (step, index) => isAudited(job.spec.seed, step, index, job.spec.fleet.audit_rate),
    failsUnresolved: job.spec.fleet.audit_unresolved === "fail",
    gradientCodec: job.spec.fleet.gradient_codec,
    checkKey: options.checkKey,
    layout: options.layout,
  };
  const outcome = Promise.withResolvers<"done" | "restart">();
  const gradientBytes = createGradientBytes();
  const { quarantined, resumed } = options;
  const fleet = withoutQuarantined(options.fleet, quarantined);
  const fresh = { ...newTraining(fleet, options.term, clock.now()), quarantined };
  const begun = resumed === null ? { training: fresh, effects: [] } : resume(
    plan,
    fresh,
    resumed,
    { adapter: resumed.stored.adapter, state: resumed.stored.state !== null },
    clock.now(),
    limits,
  );
  let training = begun.training;
  let storedState: Pick<StoredState, "readWords"> | null = resumed?.stored.state ?? null;
  const closing = new AbortController();
  let isClosed = false;
  /** Workers forget the job when they hear that it is over: what may need them is to be written down before. */
  let mayTellEnd = false;
  /** Effects on queue and log happen one after the other, in the order of the decisions. */
  let stored: Promise<void> = Promise.resolve();
  /** So does what the observer writes down; the next step need not wait for it, since the log has it already. */
  let told: Promise<void> = Promise.resolve();

  const patience = createBrokerPatience({
    ...{ clock, limits, signal: closing.signal, mend: restoreStreams },
    report: (problem) => options.onBrokerTrouble?.(problem),
  });

  /** Of a broker that has lost its streams: what the workers need to go on is known here and held by them. */
  async function restoreStreams(): Promise<void> {
    await bus.ensureQueue(subjects.workQueueName(job.id), [subjects.allWorkSubject(job.id)], {
      ackWaitMs: limits.microBatchAckWaitMs,
    });
    await restoreCommitLog(bus, job.id, training.committed);
  }

  function apply(event: StepEvent): readonly StepEffect[] {
    if (isClosed) return [];
    const before = training;
    const decision = decideStep(plan, training, event, clock.now(), limits);
    training = decision.training;
    // Before the queue is filled: who gets an item should know what it is for.
    if (isUrgent(before, training)) announcement.now();
    else if (training.revision !== before.revision) announcement.soon();
    carryOutAll(decision.effects);
    return decision.effects;
  }

  function carryOutAll(effects: readonly StepEffect[]): void {
    for (const effect of effects) {
      if (effect.type === "verdict") continue;
      if (effect.type === "event") observer.event(effect.level, effect.message);
      else if (effect.type === "excluded") observer.microBatchExcluded(effect.step, effect);
      else if (effect.type === "quarantine") options.onQuarantine(effect);
      else if (effect.type === "committed" || effect.type === "checkpointed") {
        told = told.then(() => complete(effect)).catch(fail);
      } else if (effect.type === "enqueue" || effect.type === "requeue" || effect.type === "append") {
        stored = stored.then(() => complete(effect)).catch(fail);
      } else {
        // The end of the run, before which everything else is to be done.
        Promise.all([stored, told]).then(() => complete(effect)).catch(fail);
      }
    }
  }

  function fail(thrown: unknown): void {
    if (isClosed) return;
    outcome.reject(thrown);
  }

  const announcement = createPaced({
    clock,
    announce,
    pauseMs: () => announcementPauseMs(training.fleet.members.length, limits),
    signal: closing.signal,
  });

  function announce(): void {
    if (isJobEnd(training.phase) && !mayTellEnd) return;
    bus.publish(
      subjects.stateSubject(job.id),
      encodeMessage(stepStateSchema, stepStateOf(plan, training, limits)),
    );
  }

  async function complete(
    effect: Exclude<StepEffect, { type: "verdict" | "event" | "excluded" | "quarantine" }>,
  ): Promise<void> {
    if (isClosed) return;
    switch (effect.type) {
      case "enqueue":
        // What is left of an attempt that failed would only be fetched to be thrown away.
        return await enqueueAttempt({ ...effect, indices: null, time: 0, purge: effect.attempt > 1 });
      case "requeue":
        return await enqueueAttempt(effect);
      case "append": {
        const { entry, expectedLast } = effect;
        const append = () => appendCommit(bus, entry, expectedLast, training.committed);
        const sequence = await patience.insist(append, () => isClosed);
        if (sequence !== null) apply({ type: "stored", sequence });
        return;
      }
      case "committed":
        return await observer.stepCommitted(reportOf(effect));
      case "checkpointed": {
        const { step, outcome } = effect.report;
        if (outcome.type !== "written") return;
        const adapter = outcome.files.filter(({ name }) => name !== STATE_FILE_NAME);
        await observer.checkpointWritten(step, adapter);
        // One state is enough, and each is three times as large as the adapter. One that stays is only in the way.
        return await artifacts.dropStates(job.id, training.storedStep)
          .catch((thrown) => onDefect(`older training states of ${job.id} are left behind`, thrown));
      }
      case "done":
        tellEnd();
        return outcome.resolve("done");
      case "restart":
        observer.event("warn", `The job starts again: ${effect.reason}.`);
        return outcome.resolve("restart");
      case "failed": {
        const { code, message, param } = effect;
        tellEnd();
        throw new LoraFleetError(code, message, param === undefined || param === null ? {} : { param });
      }
    }
  }

  function tellEnd(): void {
    mayTellEnd = true;
    announcement.now();
  }

  const isCurrent = (step: number, attempt: number) =>
    !isClosed && training.phase === "compute" && training.step === step && training.attempt === attempt;

  /** Whether a member asks for work of this attempt. Who asks too early or too late asks again, or has no need to. */
  const isAsked = (request: ItemRequest | RowsRequest) =>
    isCurrent(request.step, request.attempt) && isOfAttempt(training, request);

  /**
   * All micro-batches of the attempt, or some of them once more. A broker that does not store them costs the attempt nothing but
   * time: an item that is stored twice has one id.
   */
  async function enqueueAttempt({ step, attempt, indices, time, purge }: Queued): Promise<void> {
    const suffix = time === 0 ? "" : `.${time}`;
    const put = async () => {
      if (purge) await bus.purgeQueue(subjects.workQueueName(job.id), subjects.allWorkSubject(job.id));
      await Promise.all(
        (indices ?? items(step).keys().toArray()).map((index) => enqueue(step, attempt, index, suffix)),
      );
    };
    try {
      await patience.insist(put, () => !isCurrent(step, attempt));
    } catch (thrown) {
      const reason = `its micro-batches could not be put on the queue: ${messageOf(thrown)}`;
      apply({ type: "notQueued", step, attempt, reason });
    }
  }

  async function enqueue(step: number, attempt: number, index: number, suffix: string): Promise<void> {
    if (!isCurrent(step, attempt)) return;
    await bus.enqueue(
      subjects.workSubject(job.id, step, attempt),
      workItemOf(step, attempt, index),
      `${startId}.${subjects.workItemId(job.id, step, attempt, index)}${suffix}`,
    );
  }

  function workItemOf(step: number, attempt: number, index: number): Uint8Array {
    const { number, encode } = items(step)[index]!;
    const audit = plan.isAudited(step, index);
    return encode({ jobId: job.id, startId, specHash: job.specHash, step, attempt, index, number, audit });
  }

  function reportOf(
    { entry, seconds, attemptSeconds }: Omit<Extract<StepEffect, { type: "committed" }>, "type">,
  ): StepReport {
    const { step, attempt, digest, labelCount, excluded, audits } = entry;
    return {
      ...{ step, attempt, digest, labelCount, seconds, attemptSeconds, excluded, audits },
      workerCount: entry.members.length,
      epoch: job.epochsAfter(step),
      loss: entry.loss!,
      learningRate: learningRateOf(plan, step),
      gradientNorm: entry.gradientNorm!,
      tokenCount: tokenCountOf(job, step, excluded.map(({ index }) => index)),
      gradientBytesSent: gradientBytes.take(),
      ...local === null ? {} : { local: localReportOf(local, step) },
    };
  }

  /** A worker that says a file is stored is believed when it is, and when it is what was committed. */
  async function checked(report: CheckpointReport): Promise<CheckpointReport> {
    const { worker, step, outcome } = report;
    const { phase, committed, checkpointWriter } = training;
    const isAsked = phase === "checkpoint" && committed?.step === step && checkpointWriter === worker;
    if (outcome.type === "failed" || !isAsked) return report;
    const failed = (reason: string): CheckpointReport => ({ ...report, outcome: { type: "failed", reason } });
    if (savesState && !outcome.files.some(({ name }) => name === STATE_FILE_NAME)) {
      return failed(`${STATE_FILE_NAME} is not among its files`);
    }
    const layout = isSameLayout(training.layout, options.layout) ? options.layout : null;
    const truth = { digest: committed.digest, layout };
    const accepted = await artifacts.accept(job.id, step, worker, outcome.files, truth)
      .catch((thrown) => ({ fault: `its files could not be stored: ${messageOf(thrown)}` }));
    if ("fault" in accepted) return failed(accepted.fault);
    if (savesState) storedState = await artifacts.state(job.id, step) ?? storedState;
    const files = accepted.files.map(({ name, size, sha256 }) => ({ name, size, sha256 }));
    return { ...report, outcome: { type: "written", files } };
  }

  /** Checkpoints whose files are being looked at. */
  const checking = new Set<string>();
  const received = encodeMessage(receivedSchema, { type: "received" });

  /** How a worker has ended its part of an attempt, and what its gradients have cost so far. */
  function listenToOutcomes<S extends z.ZodType<Outcome>>(
    words: Omit<WorkerWords<S>, "handle">,
    eventOf: (report: z.output<S>) => StepEvent,
  ): Subscription {
    const handle = ({ said, respond }: Word<z.output<S>>) => {
      gradientBytes.told(said.incarnation, said.gradientBytesSent);
      apply(eventOf(said));
      respond(received);
    };
    return listenToWorkers(bus, { ...words, handle }, guard);
  }

  const subscriptions = [
    listenToWorkers(bus, {
      subject: subjects.reportSubject(job.id, subjects.ANY),
      schema: microBatchReportSchema,
      what: "report of a micro-batch",
      // Four bytes for each tensor, in base64.
      maxBytes: 2 ** 20,
      handle: ({ said: report, respond }) => {
        const answer = apply({ type: "report", report }).find((effect) => effect.type === "verdict");
        if (answer !== undefined) respond(encodeMessage(verdictAnswerSchema, { verdict: answer.verdict }));
      },
    }, guard),
    listenToWorkers(bus, {
      subject: subjects.itemSubject(job.id, subjects.ANY),
      schema: itemRequestSchema,
      what: "request for a work item",
      handle: ({ said, respond }) => {
        const { step, attempt, index } = said;
        if (isAsked(said) && index < items(step).length) respond(workItemOf(step, attempt, index));
      },
    }, guard),
    listenToOutcomes(
      {
        subject: subjects.updateSubject(job.id, subjects.ANY),
        schema: updateReportSchema,
        what: "report of an update",
      },
      (report) => ({ type: "update", report }),
    ),
    listenToOutcomes(
      {
        subject: subjects.failureSubject(job.id, subjects.ANY),
        schema: attemptFailureSchema,
        what: "report of a failure",
      },
      (report) => ({ type: "failure", report }),
    ),
    listenToWorkers(bus, {
      subject: subjects.checkpointSubject(job.id, subjects.ANY),
      schema: checkpointReportSchema,
      what: "report of a checkpoint",
      handle: ({ said, respond }) => {
        respond(received);
        // A report may come twice while the files of the first one are still read.
        const key = `${said.worker} ${said.step} ${said.outcome.type}`;
        if (checking.has(key)) return;
        checking.add(key);
        // A disk that cannot even be read is as good as one to which nothing was written.
        const unread = (thrown: unknown): CheckpointReport => (
          { ...said, outcome: { type: "failed", reason: messageOf(thrown).slice(0, 4000) } }
        );
        checked(said).catch(unread).then((report) => apply({ type: "checkpoint", report })).catch(fail)
          .finally(() => checking.delete(key));
      },
    }, guard),
    ...local === null ? [] : [serveRows({
      ...{ bus, job, local, startId, isAsked, guard },
      onUnanswerable: ({ step, attempt, number }, thrown) => {
        const reason = `the rows of micro-batch ${number} could not be sent: ${messageOf(thrown)}`;
        apply({ type: "notQueued", step, attempt, reason });
      },
    })],
  ];
  const stateServer = serveStoredState({
    ...{ bus, startId, onDefect },
    jobId: job.id,
    served: () =>
      isStateStored(training) && storedState !== null
        ? { committed: training.committed!, state: storedState }
        : null,
  });
  carryOutAll(
    (resumed?.untold ?? []).map((entry) => ({ type: "committed", entry, seconds: 0, attemptSeconds: 0 })),
  );
  carryOutAll(begun.effects);
  apply({ type: "tick" });
  announcement.now();

  return {
    outcome: outcome.promise,
    fleetChanged: (fleet) => void apply({ type: "fleet", fleet }),
    heard: (heartbeat, before) => {
      gradientBytes.told(heartbeat.incarnation, heartbeat.gradientBytesSent);
      return isNews(plan, training, before, heartbeat);
    },
    reinstate: (worker) => void apply({ type: "reinstate", worker }),
    get strikes() {
      return training.strikes;
    },
    get accusations() {
      return accusationsOf(training.accusations);
    },
    get checkpointAssignment() {
      const { phase, committed, checkpointWriter: writer } = training;
      const { layout } = training;
      if (isClosed || phase !== "checkpoint" || committed === null || writer === null || layout === null) {
        return null;
      }
      return { step: committed.step, writer, savesState, layout };
    },
    checkpointDamaged: (step) => {
      apply({ type: "damaged", step });
      return training.phase === "checkpoint" && training.committed?.step === step;
    },
    deaf: (milliseconds) => void apply({ type: "deaf", milliseconds }),
    tick: () => void apply({ type: "tick" }),
    announce: () => announcement.now(),
    dismiss: (end) => {
      // A run that was to start again has an end of its own, which nobody has heard.
      if (training.phase !== end) training = { ...training, phase: end, revision: training.revision + 1 };
      tellEnd();
    },
    settled: () => stored,
    close: () => {
      // Nobody answers claims any more. A commit on its way may be in the log already: whoever has that update keeps it.
      if (training.phase === "compute" || training.phase === "reduce") {
        training = {
          ...training,
          phase: "waiting",
          members: [],
          weights: [],
          revision: training.revision + 1,
        };
        try {
          announce();
        } catch {
          // The connection is closed, and everybody sees that.
        }
      }
      isClosed = true;
      closing.abort();
      for (const subscription of subscriptions) subscription.close();
      stateServer.close();
    },
  };
}

/** Whether somebody waits for the change: it is more than members who come, go, or have recovered while others compute. */
function isUrgent(before: Training, now: Training): boolean {
  const isOtherRound = now.phase === "reduce" && now.generation !== before.generation;
  return now.phase !== before.phase || now.step !== before.step || now.attempt !== before.attempt ||
    isOtherRound;
}
