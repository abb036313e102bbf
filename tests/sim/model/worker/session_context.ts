/** What the activities of a model session share: its state, and the one activity that is under way. */
import type { WorkItem } from "../../../../shared/bus/bus.ts";
import type {
  JobAnnouncement,
  MemberRef,
  StepState,
} from "../../../../shared/protocol/messages_coordinator.ts";
import type { Committed } from "../../../../shared/protocol/messages_worker.ts";
import type { Prng } from "../../../../shared/prng.ts";
import type { AttemptId, OwnState } from "../../../../worker/step/step_action.ts";
import { emptySums, type Sums } from "../world/contribution.ts";
import type { ModelLink } from "../world/model_link.ts";
import type { ModelWorld } from "../world/model_world.ts";

/** What outlives a membership. */
export interface ModelHeld {
  readonly committed: Committed;
  readonly pending: { readonly attempt: AttemptId; readonly update: Committed } | null;
}

export interface ModelSessionOptions {
  readonly world: ModelWorld;
  readonly self: MemberRef;
  readonly job: JobAnnouncement;
  readonly held: ModelHeld;
  readonly link: ModelLink;
  readonly random: Prng;
  /** Mean time of a micro-batch on this worker. */
  readonly paceMs: number;
  readonly gradientBytesBefore: number;
  readonly now: () => number;
  readonly onHeld: (held: ModelHeld) => void;
  readonly onOver: () => void;
  readonly onLook: () => void;
}

/** Something that takes time. */
export interface Activity {
  /** Whether it is still of use under a newer state. */
  readonly isWanted: (newer: StepState) => boolean;
  /** A GPU finishes what it has begun. */
  isFixed: boolean;
  /** Cleans up once it is no longer wanted. */
  readonly onStop: () => void;
}

/** The micro-batch that is being computed; `since` is in milliseconds. */
export interface Busy {
  readonly step: number;
  readonly attempt: number;
  readonly index: number;
  readonly since: number;
}

export class SessionContext {
  own: OwnState;
  newest: StepState | null = null;
  /** Indices of the micro-batches in `sums`. */
  readonly counted = new Set<number>();
  sums: Sums = emptySums();
  activity: Activity | null = null;
  isClosed = false;
  busy: Busy | null = null;
  /** Pulled and not begun. */
  inHand: WorkItem | null = null;
  /** Computed, and its claim not answered yet. */
  claiming: WorkItem | null = null;
  isPulling = false;
  lastClaim = 0;
  microBatchesDone = 0;
  gradientBytesSent: number;

  readonly options: ModelSessionOptions;
  /** Does what the newest state asks for. */
  readonly look: () => void;

  constructor(options: ModelSessionOptions, look: () => void) {
    this.options = options;
    this.look = look;
    const { self, held, gradientBytesBefore } = options;
    this.own = {
      ...{ self, committed: held.committed, spentIn: null, checkpoint: null, failedEvaluation: null },
      attempt: held.pending?.attempt ?? null,
      pending: held.pending?.update ?? null,
    };
    this.gradientBytesSent = gradientBytesBefore;
  }

  begin(
    isWanted: (newer: StepState) => boolean,
    { isFixed = false, onStop = () => {} }: Partial<Activity> = {},
  ): Activity {
    return this.activity = { isWanted, isFixed, onStop };
  }

  isDoing(activity: Activity): boolean {
    return this.activity === activity && !this.isClosed;
  }

  end(activity: Activity): void {
    if (this.activity !== activity) return;
    this.activity = null;
    this.look();
    this.options.onLook();
  }

  /** The attempt is over and leaves this commit. */
  forget(committed: Committed): void {
    this.own = { ...this.own, committed, attempt: null, pending: null, spentIn: null };
    this.counted.clear();
    this.sums = emptySums();
    this.reportHeld();
  }

  reportHeld(): void {
    const { committed, attempt, pending } = this.own;
    this.options.onHeld({
      committed,
      pending: pending === null ? null : { attempt: attempt!, update: pending },
    });
  }

  note(what: string): void {
    this.options.world.note(this.options.self.worker, what);
  }
}
