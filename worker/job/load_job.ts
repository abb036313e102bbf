/** Loads a job: its base model, an engine for its kind of work, and its initial adapter. */
import { messageOf } from "../../shared/errors.ts";
import { logAbout } from "../../shared/log.ts";
import type { JobAnnouncement } from "../../shared/protocol/messages_coordinator.ts";
import type { GpuMemoryUse } from "../../shared/protocol/messages_worker.ts";
import type { Runtime } from "../async/runtime.ts";
import type { Engine, EngineSpec, StepEngine } from "../engine/engine.ts";
import type { EngineNote } from "../engine/engine_calls.ts";
import type { GradientLayout } from "../../shared/model/gradient_layout.ts";
import { LocalStepsEngine } from "../local_steps/local_steps_engine.ts";
import { weightsHash } from "../files/linears/weights_hash.ts";
import { planLine } from "./job_outlook.ts";
import type { HeldState } from "../step/own_attempt.ts";
import { innerLoopWork, microBatchWork, type WorkKind } from "../step/work_kinds.ts";

export interface JobLoaderOptions extends Runtime {
  /** A fresh engine for each job: closing the old one frees all its memory and recovers from GPU failures. */
  readonly newEngine: (tell: (note: EngineNote) => void) => Engine;
  /** Called after a note was logged. */
  readonly onEngineNote?: (note: EngineNote) => void;
  readonly engineLimits: Pick<EngineSpec, "allowCpu" | "memoryBudgetBytes" | "gpuMemoryFile" | "nf4Cache">;
  /** Returns a folder with the job's base model and nothing else. */
  readonly findBaseModel: (job: JobAnnouncement, signal: AbortSignal) => Promise<string>;
}

export interface LoadedJob {
  readonly engine: StepEngine;
  readonly work: WorkKind;
  readonly layout: GradientLayout;
  /** As in `LoadedEngine`. */
  readonly pissaDigest?: string | undefined;
  readonly gpuMemory: GpuMemoryUse;
  held: HeldState;
}

/** Has at most one engine. */
export class JobLoader {
  readonly #options: JobLoaderOptions;
  #engine: StepEngine | null = null;

  constructor(options: JobLoaderOptions) {
    this.#options = options;
  }

  /** Closes the previous engine. Rejects with the signal's reason, or if the model cannot be found or loaded. */
  async load(job: JobAnnouncement, signal: AbortSignal): Promise<LoadedJob> {
    const { findBaseModel, engineLimits } = this.#options;
    const log = logAbout(this.#options.log, { job: job.jobId });
    await this.close();
    const modelFolder = await findBaseModel(job, signal);
    signal.throwIfAborted();
    log("info", `loading ${modelFolder}`);
    const { engine, work } = this.#trainerFor(job);
    this.#engine = engine;
    const { layout, digest, planText, pissaDigest, warnings = [], ...memory } = await engine.load({
      modelFolder,
      ...job.engine,
      ...engineLimits,
      weightsHash: weightsHash(job.model),
    });
    for (const warning of warnings) log("warn", warning);
    log("info", `job ${job.jobId} is loaded: ${layout.parameterCount} LoRA parameters\n${planText}`);
    const plan = planLine(job);
    if (plan !== null) log("info", `job ${job.jobId}: ${plan}`);
    const { plannedBytes, budgetBytes = null } = memory;
    const gpuMemory = {
      plannedBytes: Math.round(plannedBytes),
      budgetBytes: budgetBytes && Math.round(budgetBytes),
    };
    const held: HeldState = { committed: { step: 0, digest }, pending: null };
    return { engine, work, layout, pissaDigest, gpuMemory, held };
  }

  async close(): Promise<void> {
    const old = this.#engine;
    this.#engine = null;
    const warn = (thrown: unknown) =>
      this.#options.log("warn", `cannot close the engine: ${messageOf(thrown)}`);
    await old?.close().catch(warn);
  }

  #hear(note: EngineNote, { jobId: job }: JobAnnouncement): void {
    const { log, onEngineNote } = this.#options;
    log(note.isBroken ? "error" : "warn", note.note, { job });
    onEngineNote?.(note);
  }

  #trainerFor(job: JobAnnouncement): { engine: StepEngine; work: WorkKind } {
    const engine = this.#options.newEngine((note) => this.#hear(note, job));
    const { localSteps, optimizer } = job;
    if (localSteps === null) return { engine, work: microBatchWork(engine) };
    const { exponentHeadroomBits: headroomBits, exponentKeptShare: keptShare } = this.#options.limits;
    const outer = new LocalStepsEngine(engine, { optimizer, outer: localSteps, headroomBits, keptShare });
    return { engine: outer, work: innerLoopWork(outer) };
  }
}
