/** The fleet as a job's training sees it. */
import type { MemberRef } from "../../../shared/protocol/messages_coordinator.ts";
import type { WorkerJob } from "../../../shared/protocol/messages_worker.ts";

export interface FleetMember extends MemberRef {
  /** As the worker describes it: equal text and equal drivers compute equal bits. */
  readonly gpu: string;
  readonly draining: boolean;
  readonly job: WorkerJob | null;
  /** The micro-batch that it is computing, by its last report. */
  readonly busy: { readonly step: number; readonly attempt: number; readonly index: number } | null;
  /** Computed since it joined, including those of an unfinished inner loop; left out: 0. */
  readonly microBatchesDone?: number;
  /** Highest rate at which its link has received; null if unknown. */
  readonly linkBytesPerSecond: number | null;
}

export interface FleetView {
  readonly generation: number;
  /** Of all workers that hear the job's announcements, those in quarantine included; left out: none is of an older release. */
  readonly oldestProtocolVersion?: number;
  readonly members: readonly FleetMember[];
}
