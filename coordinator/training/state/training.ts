/** A job's training at one moment, as plain data. */
import type {
  Assignment,
  CommitEntry,
  MemberRef,
  StepPhase,
} from "../../../shared/protocol/messages_coordinator.ts";
import type { RoundCheck } from "../../../shared/protocol/messages_worker.ts";
import type { Exponents } from "../../../shared/exponents.ts";
import type { Layout } from "../../planning/adapter_layout.ts";
import type { FleetMember, FleetView } from "./fleet_view.ts";
import { type Ledger, newLedger } from "./ledger.ts";

interface AttemptUpdate {
  readonly digest: string;
  readonly gradientNorm: number | null;
  readonly check: RoundCheck | null;
}

/** A gradient that is not finite. */
export interface NonFinite {
  readonly worker: string;
  readonly claim: number;
}

/** A worker's digest of a gradient. */
export interface Recheck {
  readonly worker: string;
  readonly digest: string;
  /** Of the second time that it was asked; null where it was not. */
  readonly again: string | null;
  /** The checksum of the integers that the gradient adds, as it is told; part of what has to be equal. */
  readonly check: string | null;
}

/** A counted micro-batch that others compute, too (audits.ts). */
export interface Audit {
  readonly status: "open" | "passed" | "skipped";
  /** That of the worker who has it in its sums is the first. */
  readonly rechecks: readonly Recheck[];
  /** Auditors whose gradient was not finite, where the counted one is: they have no recheck. */
  readonly notFinite: readonly string[];
}

/** The attempt that a word is about; one that was given up a moment ago may still be told of. */
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
  /** How many took part in the attempt. */
  readonly memberCount: number;
  /**
   * `open`: the next attempt may bring a second accuser. `watched`: none came, and the accuser was held to it. `mutual`: the
   * coordinator itself has seen that the words of the two contradict each other.
   */
  readonly status: "open" | "watched" | "mutual";
}

export interface Training {
  /** Grows with every change that is announced, within the term. */
  readonly revision: number;
  /** Of this coordinator's run of the job: its attempts and rounds are none of an earlier one's. */
  readonly term: number;
  /** Without those in quarantine: for the training they are not there. */
  readonly fleet: FleetView;
  readonly step: number;
  readonly attempt: number;
  /** Grows whenever the attempt's members change, within the term: names its round. */
  readonly generation: number;
  readonly phase: StepPhase;
  /** When the phase began. */
  readonly since: number;
  /** When a micro-batch was last counted, or the attempt's members changed. */
  readonly progressAt: number;
  /**
   * When a member was last seen to have gone on within an inner loop, which may take many times as long as a
   * micro-batch.
   */
  readonly workedAt: number;
  /** How long nobody could be heard since the attempt began, through no worker's fault (coordinator/fleet/over_bus/connectivity.ts). */
  readonly blackoutMs: number;
  /** How often the last micro-batches were handed out once more without any progress since, and when the last time. */
  readonly hedges: { readonly count: number; readonly at: number };
  /** When the step's first attempt began, and the one that is going on. */
  readonly stepStartedAt: number;
  readonly attemptStartedAt: number;
  /** Who takes part in the attempt, sorted by worker id. */
  readonly members: readonly MemberRef[];
  /** Of each of them: how large a part of the gradient it owns, in proportion. */
  readonly weights: readonly number[];
  /** Incarnations that hold the newest commit. */
  readonly holders: ReadonlySet<string>;
  /** Incarnations that an announced recovery is waited for no longer. */
  readonly notWaitedFor: ReadonlySet<string>;
  /** Since when nobody of the fleet holds the newest commit; null while somebody does. */
  readonly stateLostAt: number | null;
  /** Since when a worker is there that has loaded the job, and nobody with its newest state; null while that is not so. */
  readonly freshAt: number | null;
  readonly committed: CommitEntry | null;
  /** The commit log's newest sequence. */
  readonly sequence: number;
  /** On its way to the log, in phase `commit`. */
  readonly pending: CommitEntry | null;
  /** Of the adapter, in elements; null before a worker has told. */
  readonly layout: Layout | null;
  /** Null: the attempt finds the maxima alone. */
  readonly exponents: Exponents | null;
  readonly ledger: Ledger;
  /** Who has computed a gradient of a micro-batch that is not finite, by its index, while it is neither counted nor excluded. */
  readonly nonFinite: ReadonlyMap<number, readonly NonFinite[]>;
  /** What single members are to compute. */
  readonly assignments: readonly Assignment[];
  readonly nextAssignment: number;
  /** Of the attempt, by index. */
  readonly audits: ReadonlyMap<number, Audit>;
  /** Since the newest commit: how often an audit has found a worker wrong. */
  readonly failedAudits: number;
  /** By worker. */
  readonly updates: ReadonlyMap<string, AttemptUpdate>;
  /** What a worker was to blame for, by worker. */
  readonly strikes: ReadonlyMap<string, readonly string[]>;
  /** What workers have said about each other in the last steps (accusations.ts). */
  readonly accusations: readonly Accusation[];
  /** By accuser: how often it was alone with one since its last strike for that. */
  readonly loneAccusations: ReadonlyMap<string, number>;
  /** Pairs whose words stand against each other. */
  readonly disputes: readonly (readonly [string, string])[];
  /** The attempt that was given up last: its members may still say whom they have waited for. */
  readonly givenUp: AttemptSeen | null;
  /** Incarnations that tell another layout than the job's, and of whom the user was told. */
  readonly misfits: ReadonlySet<string>;
  /** Workers that get no work. */
  readonly quarantined: ReadonlySet<string>;
  /**
   * Incarnations that were put into quarantine while they were members of the attempt. Reinstated, they take part from the next
   * one on: what they have in their sums was done again by others.
   */
  readonly expelled: ReadonlySet<string>;
  /** The slowest micro-batch so far; null before the first. */
  readonly slowestMs: number | null;
  /** How often micro-batches of the attempt were put on the queue again: makes their names new. */
  readonly requeues: number;
  readonly checkpointWriter: string | null;
  readonly checkpointAttempts: number;
  /** How often each worker has failed to store the checkpoint that is being written, by worker. */
  readonly checkpointFailures: ReadonlyMap<string, number>;
  /** The step whose training state the coordinator has; null for none. */
  readonly storedStep: number | null;
  /** Attempts of this step that have failed, and those of them that count for nothing: the broker was away. */
  readonly failures: number;
  readonly excused: number;
  /** No further attempt, and no further try of a checkpoint, begins before this time. */
  readonly notBefore: number;
}

/** Whether workers can load the newest commit's state from the coordinator. */
export function isStateStored({ storedStep, committed }: Training): boolean {
  return storedStep !== null && storedStep === committed?.step;
}

const NO_LEDGER = newLedger(0);
export const NO_HEDGES: Training["hedges"] = { count: 0, at: -Infinity };

export function newTraining(fleet: FleetView, term: number, now: number): Training {
  return {
    revision: 0,
    term,
    fleet,
    step: 1,
    attempt: 0,
    generation: 0,
    phase: "waiting",
    since: now,
    progressAt: now,
    workedAt: now,
    blackoutMs: 0,
    hedges: NO_HEDGES,
    stepStartedAt: now,
    attemptStartedAt: now,
    members: [],
    weights: [],
    holders: new Set(),
    notWaitedFor: new Set(),
    stateLostAt: null,
    freshAt: null,
    committed: null,
    sequence: 0,
    pending: null,
    layout: null,
    exponents: null,
    ledger: NO_LEDGER,
    nonFinite: new Map(),
    assignments: [],
    nextAssignment: 0,
    audits: new Map(),
    failedAudits: 0,
    updates: new Map(),
    strikes: new Map(),
    accusations: [],
    loneAccusations: new Map(),
    disputes: [],
    givenUp: null,
    misfits: new Set(),
    quarantined: new Set(),
    expelled: new Set(),
    slowestMs: null,
    requeues: 0,
    checkpointWriter: null,
    checkpointAttempts: 0,
    checkpointFailures: new Map(),
    failures: 0,
    excused: 0,
    notBefore: -Infinity,
    storedStep: null,
  };
}

/** Nobody could be heard for a while until now: every deadline is so much later, as far as it had begun. */
export function afterBlackout(training: Training, milliseconds: number, now: number): Training {
  const later = (at: number) => Math.min(at + milliseconds, now);
  const laterOrNever = (at: number | null) => at === null ? null : later(at);
  const { since, progressAt, workedAt, hedges, stateLostAt, freshAt } = training;
  return {
    ...training,
    since: later(since),
    progressAt: later(progressAt),
    workedAt: later(workedAt),
    hedges: { ...hedges, at: later(hedges.at) },
    stateLostAt: laterOrNever(stateLostAt),
    freshAt: laterOrNever(freshAt),
    blackoutMs: training.blackoutMs + milliseconds,
  };
}

/**
 * With one more micro-batch computed. A machine that has slept, coordinator and worker together, was not slow:
 * deadlines for the rest of the job follow from this.
 */
export function slowestWith({ slowestMs, blackoutMs }: Training, computeMs: number): number {
  return Math.max(slowestMs ?? 0, computeMs > blackoutMs ? computeMs - blackoutMs : computeMs);
}

/** Bytes of one gradient: what a round moves, and a third of what a recovering worker loads. */
export function gradientBytesOf({ layout }: Pick<Training, "layout">): number {
  return 4 * (layout?.elementCount ?? 0);
}

/** Members of the fleet that hold the newest commit. */
export function liveHolders({ fleet, holders }: Training): readonly FleetMember[] {
  return fleet.members.filter(({ incarnation }) => holders.has(incarnation));
}
