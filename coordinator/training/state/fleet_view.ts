/** The fleet as a job's training sees it. */
import type { MemberRef } from "../../../shared/protocol/messages_coordinator.ts";
import type { WorkerJob } from "../../../shared/protocol/messages_worker.ts";

/** A member of the fleet, as far as the training minds. */
export interface FleetMember extends MemberRef {
  /** As the worker describes it: with equal drivers, the same text, the same bits. */
  readonly gpu: string;
  readonly draining: boolean;
  readonly job: WorkerJob | null;
  /** The micro-batch that it is computing, as far as it has told. */
  readonly busy: { readonly step: number; readonly attempt: number; readonly index: number } | null;
  /**
   * Micro-batches that it has computed since it joined, those of an inner loop that is not done included; 0 where
   * left out.
   */
  readonly microBatchesDone?: number;
  /** What its link receives at its best; null where it is not known. */
  readonly linkBytesPerSecond: number | null;
}

/** The fleet as the membership knows it now. */
export interface FleetView {
  readonly generation: number;
  readonly members: readonly FleetMember[];
}
