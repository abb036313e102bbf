// deno-lint-ignore-file require-await -- errors are rejections
/**
 * An engine without a GPU, for tests of whole fleets: small, deterministic, with a real protocol: integer sums,
 * AdamW, digests, states that can be exported. Its model is that of toy_model.ts.
 */
import type { Clock } from "../../shared/clock.ts";
import type { Arriving } from "../async/arrival.ts";
import { countLabels, type MicroBatch } from "../../shared/data/packing/micro_batch.ts";
import { LoraFleetError } from "../../shared/errors.ts";
import { pcg32 } from "../../shared/prng.ts";
import type {
  Engine,
  EngineSpec,
  EvaluationResult,
  LoadedEngine,
  MicroBatchResult,
  UpdateResult,
} from "../engine/engine.ts";
import { type TrainingState } from "../optimizer/adamw_state.ts";
import { type UpdateRequest } from "../optimizer/adamw.ts";
import { gradientCheckOf, tiesUp } from "../engine/gradient_check.ts";
import { gradientDigestOf } from "../engine/gradient_digest.ts";
import { writeAdapter } from "../files/adapter_file.ts";
import { writeTrainingState } from "../optimizer/training_state_file.ts";
import { adamwUpdate } from "../optimizer/adamw.ts";
import { isFormerDigest } from "../optimizer/optimizer_state.ts";
import type { AdamWState } from "../optimizer/adamw_state.ts";
import { copyState, digestOf, emptyState } from "../optimizer/adamw_state.ts";
import { asFingerprint } from "../../shared/protocol/state/state_digest.ts";
import { readSlowly, type SlowReadback } from "./slow_readback.ts";
import { maxAbsOf, toyGradient, toyLayout } from "./toy_model.ts";

export interface ToyEngineOptions {
  readonly clock: Clock;
  /** Rows of A and columns of B. Default: 4. */
  readonly rank?: number;
  /** Elements of A, and of B: a multiple of 64. Default: 64. */
  readonly factorSize?: number;
  /** Duration of a call. Default: 0. */
  readonly delayMs?: (call: keyof Engine) => number;
  /** Runs before each call; the call rejects with its error. */
  readonly fault?: (call: keyof Engine, callNumber: number) => void;
  /** Changes a gradient, as a broken GPU would. */
  readonly spoil?: (gradient: Float32Array, microBatchNumber: number) => void;
  /** Sums come in pieces, as from a GPU. Default: all at once. */
  readonly readback?: SlowReadback;
  /** Changes the integer sums when they are read, as bad memory or a dishonest worker would: no digest covers them. */
  readonly spoilSums?: (sums: Int32Array) => void;
}

export interface ToyEngine extends Engine {
  /** How often each call was made. */
  readonly callCounts: Readonly<Partial<Record<keyof Engine, number>>>;
  /** Calls waiting or running. */
  readonly openCalls: number;
}

type Method = keyof Engine;

/** A fingerprint is here a SHA-256 with the mark of one, so that tests can compare states under either. */
function toyDigest(state: AdamWState, { digestKind }: Pick<UpdateRequest, "digestKind">): string {
  if (digestKind === "none") return "";
  const digest = digestOf(state);
  return digestKind === "fingerprint" ? asFingerprint(digest) : digest;
}

export function createToyEngine(options: ToyEngineOptions): ToyEngine {
  const core = new ToyCore(options);
  const callCounts: Partial<Record<Method, number>> = {};
  let openCalls = 0;
  let last: Promise<unknown> = Promise.resolve();

  /** Calls run one after the other, as in the engine thread. */
  function inOrder<K extends Method>(name: K): (...args: Parameters<Engine[K]>) => ReturnType<Engine[K]> {
    const method = core[name] as (...args: Parameters<Engine[K]>) => Promise<unknown>;
    return (...args) => {
      const number = callCounts[name] = (callCounts[name] ?? 0) + 1;
      openCalls++;
      const done = last.then(async () => {
        const delayMs = options.delayMs?.(name) ?? 0;
        if (delayMs > 0) await options.clock.sleep(delayMs);
        options.fault?.(name, number);
        if (!core.isLoaded && name !== "load" && name !== "close") {
          throw new LoraFleetError("conflict", `The toy engine was called (${name}) before it was loaded`);
        }
        return await method.apply(core, args);
      }).finally(() => openCalls--);
      last = done.catch(() => {});
      return done as ReturnType<Engine[K]>;
    };
  }

  return {
    callCounts,
    get openCalls() {
      return openCalls;
    },
    load: inOrder("load"),
    computeGradient: inOrder("computeGradient"),
    gradientDigest: inOrder("gradientDigest"),
    gradientCheck: inOrder("gradientCheck"),
    accumulate: inOrder("accumulate"),
    readSums: inOrder("readSums"),
    dropSums: inOrder("dropSums"),
    rollback: inOrder("rollback"),
    update: inOrder("update"),
    commit: inOrder("commit"),
    evaluate: inOrder("evaluate"),
    exportState: inOrder("exportState"),
    copyAdapter: inOrder("copyAdapter"),
    importState: inOrder("importState"),
    writeAdapter: inOrder("writeAdapter"),
    writeState: inOrder("writeState"),
    close: inOrder("close"),
  };
}

class ToyCore implements Engine {
  readonly #options: ToyEngineOptions;
  readonly #layout;
  #spec: EngineSpec | null = null;
  #current: AdamWState;
  #next: AdamWState | null = null;
  #updateCount = 0;
  #gradient: Float32Array<ArrayBuffer> | null = null;
  #sums: Int32Array;

  constructor(options: ToyEngineOptions) {
    this.#options = options;
    this.#layout = toyLayout(options.rank, options.factorSize);
    this.#current = emptyState(this.#layout.elementCount);
    this.#sums = new Int32Array(this.#layout.elementCount);
  }

  get isLoaded(): boolean {
    return this.#spec !== null;
  }

  async load(spec: EngineSpec): Promise<LoadedEngine> {
    const layout = this.#layout;
    this.#spec = spec;
    const prng = pcg32(spec.seed);
    this.#current = emptyState(layout.elementCount);
    for (let i = 0; i < layout.elementCount / 2; i++) this.#current.adapter[i] = prng.normal();
    this.#updateCount = 0;
    this.#forget();
    const plannedBytes = 20 * layout.elementCount;
    return { layout, digest: digestOf(this.#current), gpuDescription: "toy", planText: "toy", plannedBytes };
  }

  async computeGradient(batch: MicroBatch, microBatchNumber: number): Promise<MicroBatchResult> {
    const { gradient, lossSum, correctCount } = toyGradient(this.#current.adapter, batch);
    this.#gradient = gradient;
    this.#options.spoil?.(gradient, microBatchNumber);
    return {
      lossSum,
      labelCount: countLabels(batch),
      correctCount,
      maxAbs: maxAbsOf(this.#layout, gradient),
    };
  }

  async evaluate(batch: MicroBatch): Promise<EvaluationResult> {
    const { lossSum, correctCount } = toyGradient(this.#current.adapter, batch);
    return { lossSum, labelCount: countLabels(batch), correctCount };
  }

  async gradientDigest(): Promise<string> {
    return gradientDigestOf(this.#gradientTo("digest").buffer);
  }

  async gradientCheck(exponents: Int8Array, seed: number): Promise<Int32Array> {
    return gradientCheckOf(this.#layout, this.#gradientTo("check"), exponents, seed, tiesUp);
  }

  async accumulate(exponents: Int8Array): Promise<void> {
    const gradient = this.#gradientTo("accumulate");
    const factorSize = gradient.length / 2;
    for (let i = 0; i < gradient.length; i++) {
      this.#sums[i]! += Math.round(gradient[i]! * 2 ** -exponents[Math.floor(i / factorSize)]!);
    }
    this.#gradient = null;
  }

  async readSums(arriving?: Arriving): Promise<Int32Array> {
    const sums = this.#sums.slice();
    this.#options.spoilSums?.(sums);
    const { readback, clock } = this.#options;
    return readback === undefined ? sums : await readSlowly(sums, readback, clock, arriving);
  }

  async dropSums(): Promise<void> {
    this.#sums = new Int32Array(this.#layout.elementCount);
  }

  async rollback(): Promise<void> {
    this.#forget();
  }

  async update(request: UpdateRequest): Promise<UpdateResult> {
    this.#next = emptyState(this.#layout.elementCount);
    const gradientNorm = adamwUpdate(this.#layout, request, this.#current, this.#next);
    return { gradientNorm, digest: toyDigest(this.#next, request) };
  }

  async commit(): Promise<void> {
    if (this.#next === null) {
      throw new LoraFleetError("conflict", "Committing failed: there is no update to commit");
    }
    this.#current = this.#next;
    this.#next = null;
    this.#updateCount++;
    await this.dropSums();
  }

  async exportState(): Promise<TrainingState> {
    return { updateCount: this.#updateCount, ...copyState(this.#current) };
  }

  async copyAdapter(): Promise<Float32Array> {
    return this.#current.adapter.slice();
  }

  async importState(state: TrainingState, expected?: string): Promise<{ digest: string }> {
    this.#current = copyState(state);
    this.#updateCount = state.updateCount;
    this.#forget();
    const digest = digestOf(this.#current);
    return { digest: isFormerDigest(expected, digest, this.#current) ? expected : digest };
  }

  async writeAdapter(folder: string, baseModelName: string): Promise<void> {
    const { adapter } = this.#current;
    const tensors = this.#layout.tensors.map(({ name, shape, offset }) => ({
      name,
      shape,
      data: adapter.slice(offset, offset + adapter.length / 2),
    }));
    const r = this.#layout.tensors[0]!.shape[0];
    await writeAdapter(folder, { tensors, lora: { ...this.#spec!.lora, r }, baseModelName });
  }

  async writeState(folder: string): Promise<void> {
    await writeTrainingState(folder, { updateCount: this.#updateCount, ...this.#current });
  }

  async close(): Promise<void> {
    this.#spec = null;
  }

  #gradientTo(verb: string): Float32Array<ArrayBuffer> {
    if (this.#gradient === null) {
      throw new LoraFleetError("conflict", `The toy engine has no gradient to ${verb}`);
    }
    return this.#gradient;
  }

  /** Gradient, sums and the uncommitted update. */
  #forget(): void {
    this.#sums = new Int32Array(this.#layout.elementCount);
    this.#gradient = null;
    this.#next = null;
  }
}
