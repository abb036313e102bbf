/** What a dry run is asked, and what it answers. */
import type { ExportKind } from "../../shared/job/export_kinds.ts";
import type { PreparedJob } from "../planning/preparer.ts";
import type { BusyWorkers } from "../planning/schedule/busy_workers.ts";
import type { FleetMemory } from "./fleet_memory.ts";
import type { SpeedQuestion, TimeEstimate } from "./time_estimate.ts";

export interface DryRunQuestion extends SpeedQuestion {
  /** Of one worker. */
  readonly pricePerHour: number | null;
  /** Memory of a card that the table lacks. */
  readonly gpuGib: number | null;
}

export interface DryRun {
  readonly model: string;
  readonly training_file: string;
  /** Null without a tokenizer. */
  readonly dataset: {
    readonly examples: number;
    readonly rows: number;
    readonly tokens: number;
    readonly trained_tokens: number;
    readonly trained_tokens_per_example: number;
    readonly truncated_rows: number;
    readonly longest_document: number;
    readonly packing_efficiency: number;
  } | null;
  readonly masks: PreparedJob["report"]["masks"];
  readonly total_steps: number | null;
  /**
   * Tokens that pass through the model in the whole run; of a job that goes on from a training state, in what is left; null if
   * unknown.
   */
  readonly total_tokens: number | null;
  readonly memory: FleetMemory;
  readonly time: TimeEstimate;
  /** How many of the workers that are there a step keeps busy; null if there are none. */
  readonly busy: BusyWorkers | null;
  readonly exports: readonly PossibleExport[];
  /** One sentence each. */
  readonly warnings: readonly string[];
}

/** A form in which the result can be had, or what is in its way. */
export interface PossibleExport {
  readonly kind: ExportKind;
  readonly obstacle: string | null;
}
