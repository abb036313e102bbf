/** What can happen to a job's training, and what follows from it. */
import type { ErrorCode } from "../../../shared/errors.ts";
import type { CommitEntry, Verdict } from "../../../shared/protocol/messages_coordinator.ts";
import type {
  AttemptFailure,
  CheckpointReport,
  MicroBatchReport,
  UpdateReport,
} from "../../../shared/protocol/messages_worker.ts";
import type { WorkerQuarantine } from "../../access/quarantines.ts";
import type { FleetView } from "./fleet_view.ts";

export type StepEvent =
  | { readonly type: "fleet"; readonly fleet: FleetView }
  | { readonly type: "report"; readonly report: MicroBatchReport }
  | { readonly type: "update"; readonly report: UpdateReport }
  | { readonly type: "failure"; readonly report: AttemptFailure }
  | { readonly type: "checkpoint"; readonly report: CheckpointReport }
  /** The pending commit is in the log. */
  | { readonly type: "stored"; readonly sequence: number }
  /** Somebody says that a worker in quarantine shall have work again. */
  | { readonly type: "reinstate"; readonly worker: string }
  /** The stored adapter of this step was found damaged. */
  | { readonly type: "damaged"; readonly step: number }
  /** For so long nobody can have been heard: the coordinator slept, or had no connection to the broker. */
  | { readonly type: "blackout"; readonly milliseconds: number }
  /** The attempt's micro-batches could not be put on the queue. */
  | { readonly type: "notQueued"; readonly step: number; readonly attempt: number; readonly reason: string }
  | { readonly type: "tick" };

export type StepEffect =
  /** Answer the report that is being decided on. */
  | { readonly type: "verdict"; readonly verdict: Verdict }
  /** Put all micro-batches of the attempt on the queue. */
  | { readonly type: "enqueue"; readonly step: number; readonly attempt: number }
  /** Put some of them on the queue again; `time` tells it from other times. */
  | {
    readonly type: "requeue";
    readonly step: number;
    readonly attempt: number;
    readonly indices: readonly number[];
    readonly time: number;
    /** What still waits on the queue is among them. */
    readonly purge: boolean;
  }
  /** A micro-batch is left out of the step. */
  | {
    readonly type: "excluded";
    readonly step: number;
    readonly index: number;
    readonly workers: readonly string[];
  }
  /** A worker gets no work any more, `until` what is told. */
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
    /** From the step's first attempt to its commit, and of the attempt that was committed. */
    readonly seconds: number;
    readonly attemptSeconds: number;
  }
  | { readonly type: "checkpointed"; readonly report: CheckpointReport }
  /** Tell the user. */
  | { readonly type: "event"; readonly level: "info" | "warn" | "error"; readonly message: string }
  | { readonly type: "done" }
  /** Nobody has the newest state any more. */
  | { readonly type: "restart"; readonly reason: string }
  | {
    readonly type: "failed";
    readonly code: ErrorCode;
    readonly message: string;
    readonly param?: string | null;
  };
