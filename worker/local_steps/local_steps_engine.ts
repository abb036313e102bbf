/**
 * An engine whose steps are outer steps (decision 0011): its gradient is what a replica's phase has changed,
 * its optimizer is the outer one. It keeps the committed state itself and lends the engine below to one phase
 * after the other, so that whatever that one holds in the middle of a phase is never seen, told, given away
 * or committed.
 */
import { LoraFleetError } from "../../shared/errors.ts";
import { CHECK_WORDS } from "../../shared/protocol/linear_check.ts";
import type { JobAnnouncement } from "../../shared/protocol/messages.ts";
import type { Engine, EngineSpec, LoadedEngine, MicroBatchResult, UpdateResult } from "../engine/engine.ts";
import { type GradientLayout, rangeOf } from "../../shared/model/gradient_layout.ts";
import { copyState, type TrainingState } from "../optimizer/adamw_state.ts";
import type { UpdateRequest } from "../optimizer/adamw.ts";
import { gradientCheckOf, tiesUp } from "../step/gradient_check.ts";
import { gradientDigestOf } from "../engine/gradient_digest.ts";
import { type InnerPhaseOptions, runInnerPhase } from "./inner_phase.ts";
import { nesterovUpdateTensor } from "./nesterov.ts";

export interface LocalStepsOptions {
  /** Of the inner steps; its moments begin at zero in each phase. */
  readonly optimizer: JobAnnouncement["optimizer"];
  readonly outer: NonNullable<JobAnnouncement["localSteps"]>;
  readonly headroomBits: number;
}

/** What a phase needs besides. */
export type PhaseRequest = Omit<InnerPhaseOptions, "optimizer" | "headroomBits">;

interface Loaded {
  readonly layout: GradientLayout;
  /** The first moment is the outer momentum; the second one is zero. */
  readonly committed: TrainingState;
  /** The outcome of `update`, until it is committed or rolled back. */
  readonly next: TrainingState | null;
  /** Of the newest phase; null once it is added to the sums. */
  readonly pseudoGradient: Float32Array | null;
  readonly sums: Int32Array | null;
}

export class LocalStepsEngine implements Engine {
  readonly #inner: Engine;
  readonly #options: LocalStepsOptions;
  #loaded: Loaded | null = null;
  /** The state that the engine below has; null while that is a phase's. */
  #lent: TrainingState | null = null;

  constructor(inner: Engine, options: LocalStepsOptions) {
    this.#inner = inner;
    this.#options = options;
  }

  async load(spec: EngineSpec): Promise<LoadedEngine> {
    this.#loaded = null;
    const loaded = await this.#inner.load(spec);
    const committed = await this.#inner.exportState();
    this.#loaded = { layout: loaded.layout, committed, next: null, pseudoGradient: null, sums: null };
    this.#lent = committed;
    return loaded;
  }

  /** Rejects: this engine's work is phases. */
  computeGradient(): Promise<MicroBatchResult> {
    return Promise.reject(
      new LoraFleetError("conflict", "A job with local steps has phases, not micro-batches, to compute."),
    );
  }

  /**
   * The pseudo-gradient of a phase that starts from the committed adapter: start − end, in f32. It stays here
   * until the next call. Where something is not finite, `lossSum` and the maxima are NaN. Rejects with the
   * signal's reason.
   */
  async computePhase(request: PhaseRequest): Promise<MicroBatchResult> {
    const { optimizer, headroomBits } = this.#options;
    const { layout, committed } = this.#ready();
    const zeros = () => new Float32Array(layout.elementCount);
    this.#change({ pseudoGradient: null });
    this.#lent = null;
    await this.#inner.importState({
      ...{ updateCount: committed.updateCount, adapter: committed.adapter.slice() },
      ...{ firstMoment: zeros(), secondMoment: zeros() },
    });
    const loss = await runInnerPhase(this.#inner, { ...request, optimizer, headroomBits });
    if (loss === null) {
      const maxAbs = new Float32Array(layout.tensors.length).fill(NaN);
      return { lossSum: NaN, targetCount: 0, maxAbs };
    }
    const { adapter: end } = await this.#inner.exportState();
    const maxAbs = new Float32Array(layout.tensors.length);
    for (let index = 0; index < layout.tensors.length; index++) {
      maxAbs[index] = subtract(committed.adapter, end, ...rangeOf(layout, index));
      await turnOfEventLoop();
    }
    this.#change({ pseudoGradient: end });
    return { ...loss, maxAbs };
  }

  /** Of the newest phase's pseudo-gradient; where that is not finite, of no bits. */
  gradientDigest(): Promise<string> {
    return Promise.resolve(gradientDigestOf((this.#ready().pseudoGradient ?? new Float32Array(0)).buffer));
  }

  /** Of the newest phase's; zeros where that is not finite and adds nothing. */
  gradientCheck(exponents: Int8Array, seed: number): Promise<Int32Array> {
    const { layout, pseudoGradient } = this.#ready();
    if (pseudoGradient === null) return Promise.resolve(new Int32Array(CHECK_WORDS));
    return Promise.resolve(gradientCheckOf(layout, pseudoGradient, exponents, seed, tiesUp));
  }

  async accumulate(exponents: Int8Array): Promise<void> {
    const { layout, pseudoGradient, sums: before } = this.#ready();
    if (pseudoGradient === null) {
      throw new LoraFleetError("conflict", "There is no phase whose pseudo-gradient could be added.");
    }
    const sums = before ?? new Int32Array(layout.elementCount);
    for (let index = 0; index < layout.tensors.length; index++) {
      const scale = 2 ** -exponents[index]!;
      const [start, end] = rangeOf(layout, index);
      for (let i = start; i < end; i++) sums[i]! += Math.round(pseudoGradient[i]! * scale);
      await turnOfEventLoop();
    }
    this.#change({ pseudoGradient: null, sums });
  }

  takeSums(): Promise<Int32Array> {
    const { layout, sums } = this.#ready();
    this.#change({ sums: null });
    return Promise.resolve(sums ?? new Int32Array(layout.elementCount));
  }

  rollback(): Promise<void> {
    this.#ready();
    this.#change({ pseudoGradient: null, sums: null, next: null });
    return Promise.resolve();
  }

  /** The outer optimizer; of the request it needs sums, exponents and replicas. */
  async update(request: UpdateRequest): Promise<UpdateResult> {
    const { outerLearningRate: learningRate, outerMomentum: momentum } = this.#options.outer;
    const { layout, committed } = this.#ready();
    const { sums, exponents, replicaCount = 0 } = request;
    if (sums.length !== layout.elementCount || replicaCount < 1) {
      const what = `${sums.length} sums of ${replicaCount} replicas`;
      throw new RangeError(`${what}, the adapter has ${layout.elementCount} elements`);
    }
    const from = { adapter: committed.adapter, momentum: committed.firstMoment };
    const to = {
      adapter: new Float32Array(layout.elementCount),
      momentum: new Float32Array(layout.elementCount),
    };
    const outer = { sums, exponents, replicaCount, learningRate, momentum };
    let squares = 0;
    for (let index = 0; index < layout.tensors.length; index++) {
      squares += nesterovUpdateTensor(layout, index, outer, from, to);
      await turnOfEventLoop();
    }
    const next: TrainingState = {
      ...{ updateCount: committed.updateCount + 1, adapter: to.adapter, firstMoment: to.momentum },
      secondMoment: committed.secondMoment,
    };
    const digest = await this.#lend(next);
    this.#change({ next });
    return { gradientNorm: Math.sqrt(squares), digest };
  }

  commit(): Promise<void> {
    const { next } = this.#ready();
    if (next === null) {
      return Promise.reject(
        new LoraFleetError("conflict", "Committing failed: there is no outer update to commit."),
      );
    }
    this.#change({ committed: next, next: null });
    return Promise.resolve();
  }

  /** At any time, also in the middle of a phase: the committed state. */
  exportState(): Promise<TrainingState> {
    const { committed } = this.#ready();
    return Promise.resolve({ updateCount: committed.updateCount, ...copyState(committed) });
  }

  async importState(state: TrainingState): Promise<{ digest: string }> {
    this.#ready();
    // First into the engine below, which checks it.
    const digest = await this.#lend(state);
    const committed = { updateCount: state.updateCount, ...copyState(state) };
    this.#change({ committed, next: null, pseudoGradient: null, sums: null });
    this.#lent = committed;
    return { digest };
  }

  async writeAdapter(folder: string, baseModelName: string): Promise<void> {
    await this.#lendCommitted();
    await this.#inner.writeAdapter(folder, baseModelName);
  }

  async writeState(folder: string): Promise<void> {
    await this.#lendCommitted();
    await this.#inner.writeState(folder);
  }

  close(): Promise<void> {
    return this.#inner.close();
  }

  async #lendCommitted(): Promise<void> {
    const { committed } = this.#ready();
    if (this.#lent !== committed) await this.#lend(committed);
  }

  /** Gives the engine below a copy of this state; returns its digest, which that engine's thread computes. */
  async #lend(state: TrainingState): Promise<string> {
    this.#lent = null;
    const { digest } = await this.#inner.importState({ updateCount: state.updateCount, ...copyState(state) });
    this.#lent = state;
    return digest;
  }

  #change(change: Partial<Loaded>): void {
    this.#loaded = { ...this.#ready(), ...change };
  }

  #ready(): Loaded {
    if (this.#loaded === null) {
      throw new LoraFleetError("conflict", "The engine was asked to work before it loaded a model.");
    }
    return this.#loaded;
  }
}

/**
 * `end` becomes start − end between two positions. Returns its largest absolute value, NaN where there is
 * one.
 */
function subtract(start: Float32Array, end: Float32Array, from: number, to: number): number {
  let max = 0;
  for (let i = from; i < to; i++) {
    const change = Math.fround(start[i]! - end[i]!);
    end[i] = change;
    max = Number.isNaN(change) ? NaN : Math.max(max, Math.abs(change));
  }
  return max;
}

/** Between two tensors: heartbeats never wait for a whole gradient. */
const turnOfEventLoop = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));
