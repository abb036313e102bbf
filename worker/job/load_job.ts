/** Loads a job: its base model, an engine for its kind of work, and its initial adapter. */
import { messageOf } from "../../shared/errors.ts";
import { logAbout } from "../../shared/log.ts";
import type { JobAnnouncement } from "../../shared/protocol/messages_coordinator.ts";
import type { Runtime } from "../async/runtime.ts";
import type { Engine, EngineSpec, StepEngine } from "../engine/engine.ts";
import type { GradientLayout } from "../../shared/model/gradient_layout.ts";
import { LocalStepsEngine } from "../local_steps/local_steps_engine.ts";
import { weightsHash } from "../files/linears/weights_hash.ts";
import { planLine } from "./job_outlook.ts";
import type { HeldState } from "../step/own_attempt.ts";
import { innerLoopWork, microBatchWork, type WorkKind } from "../step/work_kinds.ts";

export interface JobLoaderOptions extends Runtime {
  /** A fresh engine for each job: closing the old one frees all its memory and recovers from GPU failures. */
  readonly newEngine: () => Engine;
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
    const { layout, digest, planText, pissaDigest, warnings = [] } = await engine.load({
      modelFolder,
      ...job.engine,
      ...engineLimits,
      weightsHash: weightsHash(job.model),
    });
    for (const warning of warnings) log("warn", warning);
    log("info", `job ${job.jobId} is loaded: ${layout.parameterCount} LoRA parameters\n${planText}`);
    const plan = planLine(job);
    if (plan !== null) log("info", `job ${job.jobId}: ${plan}`);
    return { engine, work, layout, pissaDigest, held: { committed: { step: 0, digest }, pending: null } };
  }

  async close(): Promise<void> {
    const old = this.#engine;
    this.#engine = null;
    const warn = (thrown: unknown) =>
      this.#options.log("warn", `cannot close the engine: ${messageOf(thrown)}`);
    await old?.close().catch(warn);
  }

  #trainerFor({ localSteps, optimizer }: JobAnnouncement): { engine: StepEngine; work: WorkKind } {
    const engine = this.#options.newEngine();
    if (localSteps === null) return { engine, work: microBatchWork(engine) };
    const { exponentHeadroomBits: headroomBits, exponentKeptShare: keptShare } = this.#options.limits;
    const outer = new LocalStepsEngine(engine, { optimizer, outer: localSteps, headroomBits, keptShare });
    return { engine: outer, work: innerLoopWork(outer) };
  }
}
