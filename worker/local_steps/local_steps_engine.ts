/**
 * An engine whose steps are outer steps (decision 0011): its gradient is an inner loop's pseudo-gradient, its optimizer the outer
 * one. It keeps the committed state itself and lends the inner engine to one inner loop after the other, so that no state in the
 * middle of an inner loop is ever exported, reported or committed.
 */
import { LoraFleetError } from "../../shared/errors.ts";
import { CHECK_WORDS } from "../../shared/protocol/linear_check.ts";
import type { JobAnnouncement } from "../../shared/protocol/messages_coordinator.ts";
import type { Engine, EngineSpec, LoadedEngine, StepEngine } from "../engine/engine.ts";
import type { MicroBatch } from "../../shared/data/packing/micro_batch.ts";
import type { EvaluationResult, MicroBatchResult, UpdateResult } from "../engine/engine.ts";
import { gradientCheckOf, tiesUp } from "../engine/gradient_check.ts";
import { gradientDigestOf } from "../engine/gradient_digest.ts";
import type { UpdateRequest } from "../optimizer/adamw.ts";
import type { TrainingState } from "../optimizer/adamw_state.ts";
import type { GradientLayout } from "../../shared/model/gradient_layout.ts";
import { type InnerLoopOptions, runInnerLoop } from "./inner_loop.ts";
import { LentEngine } from "./lent_engine.ts";
import { nesterovUpdate } from "./nesterov.ts";
import { addRounded, subtractInPlace } from "./pseudo_gradient.ts";

interface LocalStepsOptions {
  /** Of the inner steps; each inner loop begins with moments of zero. */
  readonly optimizer: JobAnnouncement["optimizer"];
  readonly outer: NonNullable<JobAnnouncement["localSteps"]>;
  readonly headroomBits: number;
  readonly keptShare: number;
}

interface Loaded {
  readonly layout: GradientLayout;
  /** The first moment is the outer momentum; the second one is zero. */
  readonly committed: TrainingState;
  /** The update that is not yet committed or rolled back. */
  readonly next: TrainingState | null;
  /** Of the newest inner loop; null once it is added to the sums. */
  readonly pseudoGradient: Float32Array | null;
  readonly sums: Int32Array | null;
}

export class LocalStepsEngine implements StepEngine {
  readonly #options: LocalStepsOptions;
  #loaded: Loaded | null = null;
  readonly #lent: LentEngine;

  constructor(inner: Engine, options: LocalStepsOptions) {
    this.#lent = new LentEngine(inner);
    this.#options = options;
  }

  async load(spec: EngineSpec): Promise<LoadedEngine> {
    this.#loaded = null;
    const loaded = await this.#lent.engine.load({ ...spec, hasLocalSteps: true });
    const committed = await this.#lent.engine.exportState();
    this.#loaded = { layout: loaded.layout, committed, next: null, pseudoGradient: null, sums: null };
    this.#lent.holds(committed);
    return loaded;
  }

  /**
   * The pseudo-gradient of an inner loop that starts from the committed adapter: start − end, in f32, kept until the next call.
   * If a loss or gradient is not finite, `lossSum` and the maxima are NaN. Rejects with the signal's reason.
   */
  async computeInnerLoop(
    request: Omit<InnerLoopOptions, "optimizer" | "headroomBits" | "keptShare">,
  ): Promise<MicroBatchResult> {
    const { optimizer, headroomBits, keptShare } = this.#options;
    const { layout, committed } = this.#ready();
    this.#change({ pseudoGradient: null });
    await this.#lent.giveStart(committed);
    const loss = await runInnerLoop(this.#lent.engine, { ...request, optimizer, headroomBits, keptShare });
    if (loss === null) {
      const maxAbs = new Float32Array(layout.tensors.length).fill(NaN);
      return { lossSum: NaN, labelCount: 0, correctCount: 0, maxAbs };
    }
    const end = await this.#lent.engine.copyAdapter();
    const maxAbs = await subtractInPlace(layout, committed.adapter, end);
    this.#change({ pseudoGradient: end });
    return { ...loss, maxAbs };
  }

  /** Of the newest inner loop's pseudo-gradient; of no bytes if that is not finite. */
  gradientDigest(): Promise<string> {
    return Promise.resolve(gradientDigestOf((this.#ready().pseudoGradient ?? new Float32Array(0)).buffer));
  }

  /** Of the newest pseudo-gradient; zeros if that is not finite and adds nothing. */
  gradientCheck(exponents: Int8Array, seed: number): Promise<Int32Array> {
    const { layout, pseudoGradient } = this.#ready();
    if (pseudoGradient === null) return Promise.resolve(new Int32Array(CHECK_WORDS));
    return Promise.resolve(gradientCheckOf(layout, pseudoGradient, exponents, seed, tiesUp));
  }

  async accumulate(exponents: Int8Array): Promise<void> {
    const { layout, pseudoGradient, sums: before } = this.#ready();
    if (pseudoGradient === null) {
      throw new LoraFleetError("conflict", "cannot accumulate: there is no inner loop's result to add");
    }
    const sums = before ?? new Int32Array(layout.elementCount);
    await addRounded(layout, pseudoGradient, exponents, sums);
    this.#change({ pseudoGradient: null, sums });
  }

  readSums(): Promise<Int32Array> {
    const { layout, sums } = this.#ready();
    return Promise.resolve(sums?.slice() ?? new Int32Array(layout.elementCount));
  }

  dropSums(): Promise<void> {
    return Promise.resolve(this.#change({ sums: null }));
  }

  rollback(): Promise<void> {
    return Promise.resolve(this.#change({ pseudoGradient: null, sums: null, next: null }));
  }

  /** The outer optimizer, which needs the sums, the exponents and the replica count of the request. */
  async update(request: UpdateRequest): Promise<UpdateResult> {
    const { outerLearningRate: learningRate, outerMomentum: momentum } = this.#options.outer;
    const { layout, committed } = this.#ready();
    const { sums, exponents, replicaCount = 0 } = request;
    if (sums.length !== layout.elementCount || replicaCount < 1) {
      const what = `${sums.length} sums of ${replicaCount} replicas`;
      throw new RangeError(`cannot update with ${what}: the adapter has ${layout.elementCount} elements`);
    }
    const from = { adapter: committed.adapter, momentum: committed.firstMoment };
    const outer = { sums, exponents, replicaCount, learningRate, momentum };
    const { squares, ...to } = await nesterovUpdate(layout, outer, from);
    const next: TrainingState = {
      ...{ updateCount: committed.updateCount + 1, adapter: to.adapter, firstMoment: to.momentum },
      secondMoment: committed.secondMoment,
    };
    const digest = await this.#lent.give(next);
    this.#change({ next });
    return { gradientNorm: Math.sqrt(squares), digest };
  }

  commit(): Promise<void> {
    const { next } = this.#ready();
    if (next === null) {
      return Promise.reject(new LoraFleetError("conflict", "cannot commit: there is no outer update"));
    }
    return Promise.resolve(this.#change({ committed: next, next: null, sums: null }));
  }

  async evaluate(batch: MicroBatch): Promise<EvaluationResult> {
    await this.#lent.ensure(this.#ready().committed);
    return await this.#lent.engine.evaluate(batch);
  }

  /** The committed state at any time, also in the middle of an inner loop. */
  exportState(): Promise<TrainingState> {
    return Promise.resolve(this.#ready().committed);
  }

  async importState(state: TrainingState, expected?: string): Promise<{ digest: string }> {
    this.#ready();
    // The inner engine checks it first.
    const { state: committed, digest } = await this.#lent.take(state, expected);
    this.#change({ committed, next: null, pseudoGradient: null, sums: null });
    return { digest };
  }

  async writeAdapter(folder: string, baseModelName: string): Promise<void> {
    await this.#lent.ensure(this.#ready().committed);
    await this.#lent.engine.writeAdapter(folder, baseModelName);
  }

  async writeState(folder: string): Promise<void> {
    await this.#lent.ensure(this.#ready().committed);
    await this.#lent.engine.writeState(folder);
  }

  close(): Promise<void> {
    return this.#lent.engine.close();
  }

  #change(change: Partial<Loaded>): void {
    this.#loaded = { ...this.#ready(), ...change };
  }

  #ready(): Loaded {
    if (this.#loaded === null) {
      throw new LoraFleetError("conflict", "cannot use the engine before it has loaded a model");
    }
    return this.#loaded;
  }
}
