/**
 * An engine without a GPU, for tests of whole fleets: small, deterministic, and real where the protocol looks: LoRA's shape of
 * two factors (the gradient of A is 0 as long as B is 0), integer sums, AdamW, digests, states that can be exported.
 *
 * The model predicts A[i]·B[i], for each token and element i, where a number that belongs to token and i would be right; the loss
 * is half the squared difference, averaged over the elements, so that it falls.
 */
import type { Clock } from "../../shared/clock.ts";
import { LoraFleetError } from "../../shared/errors.ts";
import { countTargets, IGNORED_TARGET, type MicroBatch } from "../../shared/data/micro_batch.ts";
import { pcg32 } from "../../shared/prng.ts";
import type { Engine, EngineSpec } from "../engine/engine.ts";
import type { GradientLayout } from "../../shared/model/gradient_layout.ts";
import {
  type AdamWState,
  copyState,
  digestOf,
  emptyState,
  type TrainingState,
} from "../optimizer/adamw_state.ts";
import { adamwUpdate, type UpdateRequest } from "../optimizer/adamw.ts";
import { gradientCheckOf, tiesUp } from "../step/gradient_check.ts";
import { gradientDigestOf } from "../engine/gradient_digest.ts";
import { writeAdapter } from "../files/adapter_file.ts";
import { writeTrainingState } from "../optimizer/training_state_file.ts";

export interface ToyEngineOptions {
  readonly clock: Clock;
  /** Rows of A and columns of B; 4. */
  readonly rank?: number;
  /** Elements of A, and of B; a multiple of 64; 64. */
  readonly factorSize?: number;
  /** Added to what a call takes, which is no time at all. */
  readonly delayMs?: (call: keyof Engine) => number;
  /** Called before each call is done; what it throws, the call rejects with. */
  readonly fault?: (call: keyof Engine, callNumber: number) => void;
  /** Changes a gradient, as a broken GPU would. */
  readonly spoil?: (gradient: Float32Array, microBatchNumber: number) => void;
  /** Changes the integer sums as they are taken, as bad memory or a liar would: no digest has seen it. */
  readonly spoilSums?: (sums: Int32Array) => void;
}

export interface ToyEngine extends Engine {
  /** How often each call was made. */
  readonly callCounts: Readonly<Partial<Record<keyof Engine, number>>>;
  /** Calls that are waiting or being done. */
  readonly openCalls: number;
}

export function createToyEngine(options: ToyEngineOptions): ToyEngine {
  const { clock, rank = 4, factorSize = 64 } = options;
  const layout = toyLayout(rank, factorSize);
  const callCounts: Partial<Record<keyof Engine, number>> = {};
  let openCalls = 0;
  let last: Promise<unknown> = Promise.resolve();
  let spec: EngineSpec | null = null;
  let current = emptyState(layout.elementCount);
  let next: AdamWState | null = null;
  let updateCount = 0;
  let gradient: Float32Array | null = null;
  let sums = new Int32Array(layout.elementCount);

  /** Calls are done one after the other, as those of the engine thread. */
  function call<T>(name: keyof Engine, work: () => T | Promise<T>): Promise<T> {
    const number = callCounts[name] = (callCounts[name] ?? 0) + 1;
    openCalls++;
    const done = last.then(async () => {
      const delayMs = options.delayMs?.(name) ?? 0;
      if (delayMs > 0) await clock.sleep(delayMs);
      options.fault?.(name, number);
      if (spec === null && name !== "load" && name !== "close") {
        throw new LoraFleetError("conflict", `The toy engine was asked to ${name} before it was loaded.`);
      }
      return await work();
    }).finally(() => openCalls--);
    last = done.catch(() => {});
    return done;
  }

  function gradientOf(batch: MicroBatch): { gradient: Float32Array; lossSum: number } {
    const { adapter } = current;
    const sum = new Float64Array(layout.elementCount);
    let lossSum = 0;
    batch.tokens.forEach((token, at) => {
      if (batch.targets[at] === IGNORED_TARGET) return;
      for (let i = 0; i < factorSize; i++) {
        const [a, b] = [adapter[i]!, adapter[factorSize + i]!];
        const error = a * b - wantedFor(token, i);
        lossSum += error * error / 2 / factorSize;
        sum[i]! += error * b / factorSize;
        sum[factorSize + i]! += error * a / factorSize;
      }
    });
    return { gradient: Float32Array.from(sum), lossSum: Math.fround(lossSum) };
  }

  return {
    callCounts,
    get openCalls() {
      return openCalls;
    },
    load: (wanted) =>
      call("load", () => {
        spec = wanted;
        const prng = pcg32(wanted.seed);
        current = emptyState(layout.elementCount);
        for (let i = 0; i < factorSize; i++) current.adapter[i] = prng.normal();
        next = null;
        gradient = null;
        updateCount = 0;
        sums = new Int32Array(layout.elementCount);
        const plannedBytes = 20 * layout.elementCount;
        return { layout, digest: digestOf(current), gpuDescription: "toy", planText: "toy", plannedBytes };
      }),
    computeGradient: (batch, microBatchNumber) =>
      call("computeGradient", () => {
        const computed = gradientOf(batch);
        gradient = computed.gradient;
        options.spoil?.(gradient, microBatchNumber);
        const maxAbs = Float32Array.from(
          layout.tensors,
          ({ offset }) => maximumOf(gradient!.subarray(offset, offset + factorSize)),
        );
        return { lossSum: computed.lossSum, targetCount: countTargets(batch), maxAbs };
      }),
    gradientDigest: () =>
      call("gradientDigest", () => {
        if (gradient === null) throw new LoraFleetError("conflict", "There is no gradient to digest.");
        return gradientDigestOf(gradient.buffer);
      }),
    gradientCheck: (exponents, seed) =>
      call("gradientCheck", () => {
        if (gradient === null) throw new LoraFleetError("conflict", "There is no gradient to check.");
        return gradientCheckOf(layout, gradient, exponents, seed, tiesUp);
      }),
    accumulate: (exponents) =>
      call("accumulate", () => {
        if (gradient === null) throw new LoraFleetError("conflict", "There is no gradient to accumulate.");
        for (let i = 0; i < sums.length; i++) {
          sums[i]! += Math.round(gradient[i]! * 2 ** -exponents[Math.floor(i / factorSize)]!);
        }
        gradient = null;
      }),
    takeSums: () =>
      call("takeSums", () => {
        const taken = sums;
        options.spoilSums?.(taken);
        sums = new Int32Array(layout.elementCount);
        return taken;
      }),
    rollback: () =>
      call("rollback", () => {
        sums = new Int32Array(layout.elementCount);
        gradient = null;
        next = null;
      }),
    update: (request: UpdateRequest) =>
      call("update", () => {
        next = emptyState(layout.elementCount);
        const gradientNorm = adamwUpdate(layout, request, current, next);
        return { gradientNorm, digest: request.isCompared === false ? "" : digestOf(next) };
      }),
    commit: () =>
      call("commit", () => {
        if (next === null) throw new LoraFleetError("conflict", "There is no update to commit.");
        current = next;
        next = null;
        updateCount++;
      }),
    exportState: () => call("exportState", () => ({ updateCount, ...copyState(current) })),
    importState: (state: TrainingState) =>
      call("importState", () => {
        current = copyState(state);
        updateCount = state.updateCount;
        next = null;
        sums = new Int32Array(layout.elementCount);
        gradient = null;
        return { digest: digestOf(current) };
      }),
    writeAdapter: (folder, baseModelName) =>
      call("writeAdapter", () => {
        const tensors = layout.tensors.map(({ name, shape, offset }) => ({
          name,
          shape,
          data: current.adapter.slice(offset, offset + factorSize),
        }));
        return writeAdapter(folder, { tensors, lora: { ...spec!.lora, r: rank }, baseModelName });
      }),
    writeState: (folder) => call("writeState", () => writeTrainingState(folder, { updateCount, ...current })),
    close: () => call("close", () => void (spec = null)),
  };
}

/** The flat array of the toy: A, then B. */
export function toyLayout(rank = 4, factorSize = 64): GradientLayout {
  const name = (factor: string) => `base_model.model.model.layers.0.self_attn.q_proj.lora_${factor}.weight`;
  return {
    tensors: [
      { name: name("A"), shape: [rank, factorSize / rank], offset: 0 },
      { name: name("B"), shape: [factorSize / rank, rank], offset: factorSize },
    ],
    elementCount: 2 * factorSize,
    parameterCount: 2 * factorSize,
  };
}

/** What the model should predict for a token: any number in [−1, 1) that depends on both. */
function wantedFor(token: number, i: number): number {
  return (Math.imul(token + 1, 0x9e37_79b1) + Math.imul(i + 1, 0x85eb_ca6b) >>> 16) / 2 ** 15 - 1;
}

function maximumOf(values: Float32Array): number {
  let max = 0;
  // NaN is passed on, as the GPU's maximum of bits does.
  for (const value of values) max = Number.isNaN(value) ? NaN : Math.max(max, Math.abs(value));
  return max;
}
