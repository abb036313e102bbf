/** A job's training at one moment, as plain data. */
import type {
  Assignment,
  CommitEntry,
  MemberRef,
  StepPhase,
} from "../../../shared/protocol/messages_coordinator.ts";
import type { RoundCheck } from "../../../shared/protocol/messages_worker.ts";
import type { DigestKind } from "../../../shared/protocol/state/state_digest.ts";
import type { Exponents } from "../../../shared/protocol/exponents.ts";
import type { Layout } from "../../planning/adapter_layout.ts";
import { NO_SELECTION, type Selection } from "../../planning/evaluation/selection.ts";
import type { EvaluationProgress } from "./evaluation_progress.ts";
import type { FleetMember, FleetView } from "./fleet_view.ts";
import type { TrainingPlan } from "./plan.ts";
import { type Ledger, newLedger } from "./ledger.ts";

interface AttemptUpdate {
  readonly digest: string;
  readonly gradientNorm: number | null;
  readonly check: RoundCheck | null;
}

/** Report of a gradient that is not finite. */
export interface NonFinite {
  readonly worker: string;
  readonly claim: number;
}

/** A worker's digest of a gradient. */
export interface Recheck {
  readonly worker: string;
  readonly digest: string;
  /** Its digest of the second time it was asked; null if it was not. */
  readonly again: string | null;
  /** Reported checksum of the integers that the gradient adds; part of `digest`. */
  readonly check: string | null;
}

/** Of a counted micro-batch (audits.ts). */
export interface Audit {
  readonly status: "open" | "passed" | "skipped";
  /** First that of the worker that has it in its sums. */
  readonly rechecks: readonly Recheck[];
  /** Auditors without a recheck: their gradient was not finite, unlike the counted one. */
  readonly notFinite: readonly string[];
}

/** The attempt that a report is about: the current one, or the one abandoned last. */
export interface AttemptSeen {
  readonly step: number;
  readonly attempt: number;
  readonly members: readonly MemberRef[];
  readonly weights: readonly number[];
}

export interface Accusation {
  readonly accuser: string;
  readonly accused: string;
  readonly step: number;
  readonly attempt: number;
  readonly why: string;
  /** Of the attempt. */
  readonly memberCount: number;
  /** `open`: a second accuser may follow. `watched`: none did. `mutual`: the reports of the two contradict each other. */
  readonly status: "open" | "watched" | "mutual";
}

export interface Training {
  /** Grows with every announced change, within the term. */
  readonly revision: number;
  /** Of this run of the job: distinguishes its attempts and rounds from those of earlier runs. */
  readonly term: number;
  /** Without the quarantined workers. */
  readonly fleet: FleetView;
  readonly step: number;
  readonly attempt: number;
  /** Grows whenever the attempt's members change, within the term. Identifies the round. */
  readonly generation: number;
  readonly phase: StepPhase;
  /** When the phase began. */
  readonly since: number;
  /** When a micro-batch was last counted, or the attempt's members changed. */
  readonly progressAt: number;
  /** When a member last progressed within an inner loop, which may take many times as long as a micro-batch. */
  readonly workedAt: number;
  /** How long no worker could be heard since the attempt began (coordinator/fleet/over_bus/connectivity.ts). */
  readonly blackoutMs: number;
  /** How often the last micro-batches were handed out again since the last progress, and when last. */
  readonly hedges: { readonly count: number; readonly at: number };
  /** When the step's first attempt began; `attemptStartedAt`: when the current one did. */
  readonly stepStartedAt: number;
  readonly attemptStartedAt: number;
  /** Members of the attempt, sorted by worker id. */
  readonly members: readonly MemberRef[];
  /** Relative size of the part of the gradient that each of them owns. */
  readonly weights: readonly number[];
  /** Incarnations that hold the newest commit. */
  readonly holders: ReadonlySet<string>;
  /** Incarnations whose recovery we stopped waiting for. */
  readonly notWaitedFor: ReadonlySet<string>;
  /** Since when no worker holds the newest commit; null while one does. */
  readonly stateLostAt: number | null;
  /** Since when there are workers that have loaded the job, but none with its newest state; null otherwise. */
  readonly freshAt: number | null;
  readonly committed: CommitEntry | null;
  /** The commit log's newest sequence. */
  readonly sequence: number;
  /** On its way to the log, in phase `commit`. */
  readonly pending: CommitEntry | null;
  /** Of the adapter, in elements; null before a worker has reported it. */
  readonly layout: Layout | null;
  /** Null: the attempt only finds the maxima. */
  readonly exponents: Exponents | null;
  readonly ledger: Ledger;
  /** Of the round's updates. */
  readonly digestKind: DigestKind;
  /** By index of a micro-batch that is neither counted nor excluded. */
  readonly nonFinite: ReadonlyMap<number, readonly NonFinite[]>;
  readonly assignments: readonly Assignment[];
  readonly nextAssignment: number;
  /** By index of the micro-batch. */
  readonly audits: ReadonlyMap<number, Audit>;
  /** Workers found wrong by audits since the newest commit. */
  readonly failedAudits: number;
  /** By worker. */
  readonly updates: ReadonlyMap<string, AttemptUpdate>;
  /** Reasons, by worker. */
  readonly strikes: ReadonlyMap<string, readonly string[]>;
  /** Of the last steps (accusations.ts). */
  readonly accusations: readonly Accusation[];
  /** Lone accusations since the last strike for one, by accuser. */
  readonly loneAccusations: ReadonlyMap<string, number>;
  /** Pairs whose reports contradict each other. */
  readonly disputes: readonly (readonly [string, string])[];
  /** The attempt abandoned last: its members may still report whom they waited for. */
  readonly abandoned: AttemptSeen | null;
  /** Incarnations that reported a layout other than the job's; the user has an event about each. */
  readonly misfits: ReadonlySet<string>;
  /** Workers that get no work. */
  readonly quarantined: ReadonlySet<string>;
  /** Incarnations quarantined during the attempt. Others redid their part: if reinstated, they join only the next attempt. */
  readonly expelled: ReadonlySet<string>;
  /** Of the slowest micro-batch so far; null before the first. */
  readonly slowestMs: number | null;
  /** How often micro-batches of the attempt were enqueued again; makes their message ids unique. */
  readonly requeues: number;
  /** In phase `evaluate`. */
  readonly evaluation: EvaluationProgress | null;
  readonly selection: Selection;
  /** The step after which training ends early; null while it does not. */
  readonly lastStep: number | null;
  readonly checkpointWriter: string | null;
  readonly checkpointAttempts: number;
  /** Failures to store the current checkpoint, by worker. */
  readonly checkpointFailures: ReadonlyMap<string, number>;
  /** The step of the training state that the coordinator has; null for none. */
  readonly storedStep: number | null;
  /** Failed attempts of this step; `excused`: those that do not count, since the broker was away. */
  readonly failures: number;
  readonly excused: number;
  /** Earliest time of the next attempt, or of the next try of a checkpoint. */
  readonly notBefore: number;
}

export function lastStepOf({ totalSteps }: Pick<TrainingPlan, "totalSteps">, { lastStep }: Training): number {
  return lastStep ?? totalSteps;
}

/** Whether workers can load the newest commit's state from the coordinator. */
export function isStateStored({ storedStep, committed }: Training): boolean {
  return storedStep !== null && storedStep === committed?.step;
}

export const NO_HEDGES: Training["hedges"] = { count: 0, at: -Infinity };
export const NO_CHECKPOINT_FAILURES = {
  checkpointAttempts: 0,
  checkpointFailures: new Map<string, number>(),
};

/** What every step begins with. */
export const NEW_STEP = {
  ...{ attempt: 0, failures: 0, excused: 0, phase: "waiting", checkpointWriter: null },
  ...{ members: [], weights: [] },
} as const satisfies Partial<Training>;

/** What every attempt begins with. */
export const NEW_ATTEMPT = {
  ...{ blackoutMs: 0, hedges: NO_HEDGES, requeues: 0, assignments: [] },
  ...{ nonFinite: new Map(), audits: new Map(), updates: new Map(), expelled: new Set<string>() },
} satisfies Partial<Training>;

export function newTraining(fleet: FleetView, term: number, now: number): Training {
  return {
    ...{ ...NEW_STEP, ...NEW_ATTEMPT, ...NO_CHECKPOINT_FAILURES },
    ...{ revision: 0, term, fleet, step: 1, generation: 0, sequence: 0, nextAssignment: 0, failedAudits: 0 },
    ...{ since: now, progressAt: now, workedAt: now, stepStartedAt: now, attemptStartedAt: now },
    ...{ stateLostAt: null, freshAt: null, committed: null, pending: null, storedStep: null },
    ...{ evaluation: null, selection: NO_SELECTION, lastStep: null },
    ...{ layout: null, exponents: null, slowestMs: null, abandoned: null, notBefore: -Infinity },
    ...{ holders: new Set(), notWaitedFor: new Set(), misfits: new Set(), quarantined: new Set() },
    ...{ strikes: new Map(), accusations: [], loneAccusations: new Map(), disputes: [] },
    ...{ ledger: newLedger(0), digestKind: "sha256" },
  };
}

/** No worker could be heard for a while until now: extends every deadline that was running by that time. */
export function afterBlackout(training: Training, milliseconds: number, now: number): Training {
  const later = (at: number) => Math.min(at + milliseconds, now);
  const laterOrNever = (at: number | null) => at === null ? null : later(at);
  const { since, progressAt, workedAt, hedges, stateLostAt, freshAt, evaluation } = training;
  return {
    ...training,
    since: later(since),
    progressAt: later(progressAt),
    workedAt: later(workedAt),
    hedges: { ...hedges, at: later(hedges.at) },
    evaluation: evaluation && { ...evaluation, progressAt: later(evaluation.progressAt) },
    stateLostAt: laterOrNever(stateLostAt),
    freshAt: laterOrNever(freshAt),
    blackoutMs: training.blackoutMs + milliseconds,
  };
}

/** `slowestMs` after one more micro-batch. A machine that slept, coordinator and worker together, was not slow. */
export function slowestWith({ slowestMs, blackoutMs }: Training, computeMs: number): number {
  return Math.max(slowestMs ?? 0, computeMs > blackoutMs ? computeMs - blackoutMs : computeMs);
}

/** Of one gradient: what a round moves, and a third of what a recovering worker loads. */
export function gradientBytesOf({ layout }: Pick<Training, "layout">): number {
  return 4 * (layout?.elementCount ?? 0);
}

/** Members of the fleet that hold the newest commit. */
export function liveHolders({ fleet, holders }: Training): readonly FleetMember[] {
  return fleet.members.filter(({ incarnation }) => holders.has(incarnation));
}
