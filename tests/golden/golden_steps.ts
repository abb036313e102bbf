/** Steps of a fleet of engines without a network or a coordinator. */
import {
  type Exponents,
  exponentsFrom,
  fadingMaxima,
  firstMisfit,
  mergeMaxima,
} from "../../shared/protocol/exponents.ts";
import { LIMITS } from "../../shared/protocol/limits.ts";
import type { MicroBatch } from "../../shared/data/packing/micro_batch.ts";
import type { Engine, EngineSpec } from "../../worker/engine/engine.ts";
import type { GradientLayout } from "../../shared/model/gradient_layout.ts";
import type { TrainingState } from "../../worker/optimizer/adamw_state.ts";
import type { UpdateRequest } from "../../worker/optimizer/adamw.ts";
import { flattenTensors, type LadderCase } from "./golden.ts";
import { GOLDEN_MAX_TOKENS } from "./golden_model.ts";

/** The engine's specification for a case of the ladder. */
export function goldenEngineSpec(golden: LadderCase): EngineSpec {
  return {
    modelFolder: golden.modelFolder,
    lora: golden.lora,
    seed: 1,
    doubleQuantization: golden.doubleQuantization,
    gradientCheckpointing: true,
    maxTokensPerMicroBatch: GOLDEN_MAX_TOKENS,
    maxPositions: GOLDEN_MAX_TOKENS,
    allowCpu: true,
    memoryBudgetBytes: null,
  };
}

/** Loads a case into `engine` and gives it the adapter that the goldens start with; returns that state. */
export async function loadGolden(
  engine: Pick<Engine, "load" | "importState">,
  golden: LadderCase,
): Promise<TrainingState> {
  const { layout } = await engine.load(goldenEngineSpec(golden));
  await engine.importState(goldenState(layout, golden));
  return goldenState(layout, golden);
}

function goldenState(layout: GradientLayout, golden: LadderCase): TrainingState {
  return {
    updateCount: 0,
    adapter: flattenTensors(layout, golden.initialAdapter),
    firstMoment: new Float32Array(layout.elementCount),
    secondMoment: new Float32Array(layout.elementCount),
  };
}

/** A step's micro-batches by engine, in their order. */
export type Assignment = readonly (readonly number[])[];

export interface StepOutcome {
  /** Of all micro-batches, in their order. */
  readonly lossSums: readonly number[];
  readonly meanLoss: number;
  readonly gradientNorm: number;
  readonly digest: string;
  /** Fading maxima, from which the next step's exponents come. */
  readonly maxAbs: Float32Array;
}

/** The training values of a case for step `step`, counted from 0. */
export function optimizerOf({ training }: LadderCase, step: number) {
  const { beta1, beta2, epsilon, weightDecay, maxGradientNorm, learningRates } = training;
  const learningRate = learningRates[step]!;
  return { beta1, beta2, epsilon, weightDecay, maxGradientNorm, learningRate, updateNumber: step + 1 };
}

/**
 * One step by all engines, committed.
 * @param before the fading maxima of the step before; null in the first one
 */
export async function runStep(
  engines: readonly Engine[],
  batches: readonly MicroBatch[],
  assignment: Assignment,
  optimizer: Omit<UpdateRequest, "sums" | "exponents" | "labelCount">,
  before: Float32Array | null,
): Promise<StepOutcome> {
  const fadedWith = (maxAbs: Float32Array) =>
    fadingMaxima(before ?? new Float32Array(0), maxAbs, LIMITS.exponentKeptShare);
  const fromMaxima = (maxima: Float32Array) =>
    exponentsFrom(maxima, batches.length, LIMITS.exponentHeadroomBits);
  const exponentsOf = (maxAbs: Float32Array) => fromMaxima(fadedWith(maxAbs));
  let exponents = before === null || before.includes(0)
    ? exponentsOf(await probe(engines, batches, assignment))
    : fromMaxima(before);
  let attempt = await attemptStep(engines, batches, assignment, exponents);
  if (firstMisfit(attempt.maxAbs, exponents, batches.length) >= 0) {
    for (const engine of engines) await engine.rollback();
    exponents = exponentsOf(attempt.maxAbs);
    attempt = await attemptStep(engines, batches, assignment, exponents);
  }
  const { sums, lossSums, labelCount, maxAbs } = attempt;
  const outcomes = [];
  for (const engine of engines) {
    const request = { ...optimizer, sums: sums.slice(), exponents: bytesOf(exponents), labelCount };
    outcomes.push(await engine.update(request));
  }
  const [{ gradientNorm, digest }] = outcomes as [typeof outcomes[0] & object];
  if (outcomes.some((outcome) => outcome.digest !== digest)) throw new Error("the engines' digests differ");
  for (const engine of engines) await engine.commit();
  const meanLoss = lossSums.reduce((sum, loss) => sum + loss, 0) / labelCount;
  return { lossSums, meanLoss, gradientNorm, digest, maxAbs: fadedWith(maxAbs) };
}

/** The maxima of the step's first micro-batch. */
async function probe(engines: readonly Engine[], batches: readonly MicroBatch[], assignment: Assignment) {
  const worker = assignment.findIndex((indices) => indices.includes(0));
  const { maxAbs } = await engines[worker]!.computeGradient(batches[0]!, 0);
  return maxAbs;
}

async function attemptStep(
  engines: readonly Engine[],
  batches: readonly MicroBatch[],
  assignment: Assignment,
  exponents: Exponents,
) {
  const lossSums: number[] = [];
  const maxima: Float32Array[] = [];
  const parts: Int32Array[] = [];
  const labelCounts: number[] = [];
  for (const [worker, engine] of engines.entries()) {
    await engine.dropSums(); // of an attempt before
    for (const index of assignment[worker]!) {
      const result = await engine.computeGradient(batches[index]!, index);
      lossSums[index] = result.lossSum;
      labelCounts[index] = result.labelCount;
      maxima.push(result.maxAbs);
      await engine.accumulate(bytesOf(exponents));
    }
    parts.push(await engine.readSums());
  }
  // As the coordinator adds them: by their places in the step, whoever computed them.
  const labelCount = labelCounts.reduce((sum, count) => sum + count, 0);
  const sums = parts[0]!.map((_, i) => parts.reduce((sum, part) => sum + part[i]!, 0));
  return { lossSums, labelCount, sums, maxAbs: mergeMaxima(maxima) };
}

function bytesOf(exponents: Exponents): Int8Array {
  return Int8Array.from(exponents, (exponent) => exponent ?? 0);
}
