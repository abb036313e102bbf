/** One start of one job's training over the bus: carries out the decisions of training/step.ts. */
import { announcementPauseMs } from "../../../shared/protocol/limits.ts";
import { encodeMessage } from "../../../shared/protocol/messages_codec.ts";
import { isJobEnd, type JobEnd, stepStateSchema } from "../../../shared/protocol/messages_coordinator.ts";
import type { Heartbeat } from "../../../shared/protocol/messages_worker.ts";
import { isPissa } from "../../../shared/job/pissa.ts";
import * as subjects from "../../../shared/protocol/subjects.ts";
import { createBrokerPatience } from "../../broker/broker_patience.ts";
import { cachedByStep, itemCountOf, itemsOf } from "../../planning/work_items.ts";
import { accusationsOf } from "../../training/blame/accusations.ts";
import type { StepEffect, StepEvent } from "../../training/state/effects.ts";
import { isNews } from "../../training/members/eligibility.ts";
import type { FleetView } from "../../training/state/fleet_view.ts";
import { isStateStored, newTraining, type Training } from "../../training/state/training.ts";
import { stepStateOf } from "../../training/state/announcement.ts";
import type { TrainingPlan } from "../../training/state/plan.ts";
import { resume } from "../../training/commits.ts";
import { decideStep } from "../../training/step.ts";
import { withoutQuarantined } from "../../training/blame/strikes.ts";
import type { CheckpointAssignment } from "../../training/upload_decision.ts";
import { createPaced } from "../paced.ts";
import { restoreCommitLog } from "./commit_log.ts";
import { createGradientBytes } from "./gradient_bytes.ts";
import { createIdleNotice } from "./idle_notice.ts";
import type { RunContext, TrainingRunOptions } from "./run_context.ts";
import { announceEnd, carryOut } from "./run_effects.ts";
import { createStepSpan } from "./step_span.ts";
import { trainingPlanOf } from "./run_plan.ts";
import { serveStoredState } from "./state_server.ts";
import { listenDuringRun } from "./worker_messages.ts";

export interface TrainingRun {
  /** Resolves when everything is stored or the job has to restart. Rejects with a `LoraFleetError` if the job fails. */
  readonly outcome: Promise<"done" | "restart">;
  fleetChanged(fleet: FleetView): void;
  /** Whether to pass on the fleet with this heartbeat at once; else the next tick is soon enough. */
  heard(heartbeat: Heartbeat, before: Heartbeat | null): boolean;
  /** Gives a worker in quarantine work again. */
  reinstate(worker: string): void;
  /** By worker. */
  strikes(): ReadonlyMap<string, readonly string[]>;
  /** Recent accusations by and against each worker. */
  accusations(): ReadonlyMap<string, readonly string[]>;
  /** The checkpoint that is being written now. */
  checkpointAssignment(): CheckpointAssignment | null;
  /** A step's adapter is lost. Returns whether a worker is asked to write it again. */
  checkpointDamaged(step: number): boolean;
  /** No worker could be heard for this long. */
  blackout(milliseconds: number): void;
  tick(): void;
  /** Publishes the state of the step. */
  announce(): void;
  /** Stops the run and its workers; queue and log are left to the caller. */
  close(): void;
  /** Resolves once a closed run has finished with queue and log, which the job's next run uses, too. */
  settled(): Promise<void>;
  /** Announces how the job of a closed run ended. */
  dismiss(end: JobEnd): void;
}

/** The job's queue and an empty log must exist. */
export function startTrainingRun(options: TrainingRunOptions): TrainingRun {
  const closing = new AbortController();
  const { run, effects } = createContext(options, closing.signal);
  const servers = [...listenDuringRun(run), serveState(run)];
  const unreported = options.resumed?.unreported ?? [];
  carryOut(run, unreported.map((entry) => ({ type: "committed", entry, seconds: 0, attemptSeconds: 0 })));
  carryOut(run, effects);
  run.apply({ type: "tick" });
  run.announcement.now();

  return {
    outcome: run.outcome.promise,
    fleetChanged: (fleet) => void run.apply({ type: "fleet", fleet }),
    heard: (heartbeat, before) => {
      run.gradientBytes.record(heartbeat.incarnation, heartbeat.gradientBytesSent);
      return isNews(run.plan, run.training, before, heartbeat);
    },
    reinstate: (worker) => void run.apply({ type: "reinstate", worker }),
    strikes: () => run.training.strikes,
    accusations: () => accusationsOf(run.training.accusations),
    checkpointAssignment: () => checkpointAssignmentOf(run),
    checkpointDamaged: (step) => {
      run.apply({ type: "damaged", step });
      return run.training.phase === "checkpoint" && run.training.committed?.step === step;
    },
    blackout: (milliseconds) => void run.apply({ type: "blackout", milliseconds }),
    tick: () => void run.apply({ type: "tick" }),
    announce: () => run.announcement.now(),
    dismiss: (end) => {
      // A run that was to start again has an end of its own, which was not announced.
      if (run.training.phase !== end) changeAndAnnounceLater(run, { phase: end });
      announceEnd(run);
    },
    settled: () => run.stored,
    close: () => {
      releaseMembers(run);
      run.isClosed = true;
      run.span.end();
      closing.abort();
      for (const server of servers) server.close();
    },
  };
}

function createContext(
  options: TrainingRunOptions,
  signal: AbortSignal,
): { readonly run: RunContext; readonly effects: readonly StepEffect[] } {
  const { clock, limits, job, resumed } = options;
  const items = cachedByStep((step) => itemsOf(job, step));
  const plan = trainingPlanOf(options, (step) => itemCountOf(job, step));
  const { training, effects } = firstDecision(options, plan);
  const run: RunContext = {
    ...options,
    ...{ plan, items, training },
    savesState: !job.spec.training.save_only_model,
    gradientBytes: createGradientBytes(),
    idleNotice: createIdleNotice(job),
    span: createStepSpan(job.id),
    patience: createBrokerPatience({
      ...{ clock, limits, signal },
      mend: () => restoreStreams(run),
      report: (problem) => options.onBrokerTrouble?.(problem),
    }),
    announcement: createPaced({
      ...{ clock, signal },
      announce: () => publishState(run),
      pauseMs: () => announcementPauseMs(run.training.fleet.members.length, limits),
    }),
    outcome: Promise.withResolvers(),
    apply: (event) => apply(run, event),
    storedState: resumed?.stored.state ?? null,
    ...{ isClosed: false, mayAnnounceEnd: false, stored: Promise.resolve(), reported: Promise.resolve() },
  };
  return { run, effects };
}

/** A fresh training, or one that continues after the newest commit. */
function firstDecision(
  { resumed, quarantined, fleet, term, clock, limits }: TrainingRunOptions,
  plan: TrainingPlan,
): { readonly training: Training; readonly effects: readonly StepEffect[] } {
  const seen = withoutQuarantined(fleet, quarantined);
  const fresh = { ...newTraining(seen, term, clock.now()), quarantined };
  if (resumed === null) return { training: fresh, effects: [] };
  const stored = { adapter: resumed.stored.adapter, state: resumed.stored.state !== null };
  return resume({ plan, now: clock.now(), limits }, fresh, resumed, stored, resumed.evaluations);
}

function apply(run: RunContext, event: StepEvent): readonly StepEffect[] {
  if (run.isClosed) return [];
  const before = run.training;
  const { plan, clock, limits } = run;
  const decision = decideStep({ plan, now: clock.now(), limits }, before, event);
  run.training = decision.training;
  run.span.follow(run.training);
  // Announce before the queue is filled: a worker that gets an item should know what it is for.
  if (isUrgent(before, run.training)) run.announcement.now();
  else if (run.training.revision !== before.revision) run.announcement.soon();
  carryOut(run, decision.effects);
  return decision.effects;
}

/** Whether workers wait for the change. Members that come, go or have recovered while others compute are not urgent. */
function isUrgent(before: Training, now: Training): boolean {
  return now.phase !== before.phase || now.step !== before.step || now.attempt !== before.attempt ||
    (now.phase === "reduce" && now.generation !== before.generation);
}

function publishState({ bus, job, plan, training, limits, mayAnnounceEnd, span }: RunContext): void {
  if (isJobEnd(training.phase) && !mayAnnounceEnd) return;
  const { traceparent } = span;
  const state = {
    ...stepStateOf(plan, training, limits),
    ...traceparent === undefined ? {} : { traceparent },
  };
  bus.publish(subjects.stateSubject(job.id), encodeMessage(stepStateSchema, state));
}

/** For a broker that has lost its streams: the coordinator and the workers still have all that it takes to go on. */
async function restoreStreams({ bus, job, limits, training }: RunContext): Promise<void> {
  await bus.ensureQueue(subjects.workQueueName(job.id), [subjects.allWorkSubject(job.id)], {
    ackWaitMs: limits.microBatchAckWaitMs,
  });
  await restoreCommitLog(bus, job.id, training.committed);
}

function serveState(run: RunContext): { close(): void } {
  const { bus, job, startId, onDefect } = run;
  const served = () =>
    isStateStored(run.training) && run.storedState !== null
      ? { committed: run.training.committed!, state: run.storedState }
      : null;
  return serveStoredState({ bus, jobId: job.id, startId, served, onDefect });
}

function checkpointAssignmentOf(
  { isClosed, training, savesState, job }: RunContext,
): CheckpointAssignment | null {
  const { phase, committed, checkpointWriter: writer, layout } = training;
  if (isClosed || phase !== "checkpoint" || committed === null || writer === null || layout === null) {
    return null;
  }
  return { step: committed.step, writer, savesState, layout, isPissa: isPissa(job.spec.lora) };
}

/** A closed run answers no claims. A commit on its way may already be in the log; workers with that update keep it. */
function releaseMembers(run: RunContext): void {
  const { phase } = run.training;
  if (phase !== "compute" && phase !== "reduce" && phase !== "evaluate") return;
  changeAndAnnounceLater(run, { phase: "waiting", members: [], weights: [] });
  try {
    publishState(run);
  } catch {
    // The connection is closed, which all workers see.
  }
}

/** Outside of a decision: the run is over. */
function changeAndAnnounceLater(run: RunContext, change: Partial<Training>): void {
  run.training = { ...run.training, ...change, revision: run.training.revision + 1 };
}
