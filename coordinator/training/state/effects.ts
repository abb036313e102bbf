/** What can happen to a job's training, and what follows from it. */
import type { ErrorCode } from "../../../shared/errors.ts";
import type { CommitEntry, Verdict } from "../../../shared/protocol/messages_coordinator.ts";
import type {
  AttemptFailure,
  CheckpointReport,
  EvaluationReport,
  MicroBatchReport,
  UpdateReport,
} from "../../../shared/protocol/messages_worker.ts";
import type { WorkerQuarantine } from "../../access/quarantines.ts";
import type { EvaluationOutcome } from "../../planning/evaluation/selection.ts";
import type { FleetView } from "./fleet_view.ts";

export type StepEvent =
  | { readonly type: "fleet"; readonly fleet: FleetView }
  | { readonly type: "report"; readonly report: MicroBatchReport }
  | { readonly type: "update"; readonly report: UpdateReport }
  | { readonly type: "failure"; readonly report: AttemptFailure }
  | { readonly type: "checkpoint"; readonly report: CheckpointReport }
  | { readonly type: "evaluation"; readonly report: EvaluationReport }
  /** The pending commit is in the log. */
  | { readonly type: "stored"; readonly sequence: number }
  /** A user lifts a worker's quarantine. */
  | { readonly type: "reinstate"; readonly worker: string }
  /** The stored adapter of this step was found damaged. */
  | { readonly type: "damaged"; readonly step: number }
  /** The coordinator could not hear any worker for this long: it slept, or had no connection to the broker. */
  | { readonly type: "blackout"; readonly milliseconds: number }
  /** The attempt's micro-batches could not be enqueued. */
  | { readonly type: "notQueued"; readonly step: number; readonly attempt: number; readonly reason: string }
  /** The rows to evaluate after a step could not be enqueued. */
  | { readonly type: "notHandedOut"; readonly step: number; readonly reason: string }
  | { readonly type: "tick" };

export type StepEffect =
  /** Answer the report that is being decided on. */
  | { readonly type: "verdict"; readonly verdict: Verdict }
  /** Enqueue all micro-batches of the attempt. */
  | { readonly type: "enqueue"; readonly step: number; readonly attempt: number }
  /** Enqueue some of them again. */
  | {
    readonly type: "requeue";
    readonly step: number;
    readonly attempt: number;
    readonly indices: readonly number[];
    /** Counts the attempt's requeues. */
    readonly time: number;
    /** Whether to empty the queue first, since `indices` include what still waits on it. */
    readonly purge: boolean;
  }
  /** Enqueue micro-batches to evaluate; see `requeue`. */
  | {
    readonly type: "enqueueEvaluation";
    readonly step: number;
    readonly indices: readonly number[];
    readonly time: number;
    readonly purge: boolean;
  }
  | { readonly type: "evaluated"; readonly report: EvaluationOutcome }
  /** A micro-batch is left out of the step. */
  | {
    readonly type: "excluded";
    readonly step: number;
    readonly index: number;
    readonly workers: readonly string[];
  }
  /** A worker gets no more work. */
  | {
    readonly type: "quarantine";
    readonly worker: string;
    readonly reasons: readonly string[];
    readonly until: WorkerQuarantine["until"];
  }
  | { readonly type: "append"; readonly entry: CommitEntry; readonly expectedLast: number }
  | {
    readonly type: "committed";
    readonly entry: CommitEntry;
    /** From the step's first attempt to its commit; `attemptSeconds`: from the committed attempt. */
    readonly seconds: number;
    readonly attemptSeconds: number;
  }
  | { readonly type: "checkpointed"; readonly report: CheckpointReport }
  /** An event for the user. */
  | { readonly type: "event"; readonly level: "info" | "warn" | "error"; readonly message: string }
  | { readonly type: "done" }
  /** No worker has the newest state any more. */
  | { readonly type: "restart"; readonly reason: string }
  | {
    readonly type: "failed";
    readonly code: ErrorCode;
    readonly message: string;
    readonly param?: string | null;
  };

export function warning(message: string): StepEffect {
  return { type: "event", level: "warn", message };
}
