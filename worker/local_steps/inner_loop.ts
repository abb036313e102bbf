/**
 * A replica's inner loop: optimizer steps of one worker alone, from the engine's current adapter on. The outcome depends on that
 * adapter, the rows and their order alone: gradients are summed as integers, with exponents that the inner loop itself determines.
 */
import {
  type Exponents,
  exponentsFrom,
  fadingMaxima,
  firstNonFinite,
  fits,
  mergeMaxima,
} from "../../shared/protocol/exponents.ts";
import { LoraFleetError } from "../../shared/errors.ts";
import type { InnerLoop, InnerStep } from "../../shared/protocol/inner_loop_codec.ts";
import type { JobAnnouncement } from "../../shared/protocol/messages_coordinator.ts";
import type { MicroBatch } from "../../shared/data/packing/micro_batch.ts";
import type { Engine } from "../engine/engine.ts";

export interface InnerLoopOptions {
  readonly innerLoop: InnerLoop;
  readonly optimizer: JobAnnouncement["optimizer"];
  /** Bits between the largest gradient of the last inner steps and the next one's that still fits. */
  readonly headroomBits: number;
  /** Share of it that counts one inner step later. */
  readonly keptShare: number;
  /** Called once for each micro-batch of the inner loop, in order. */
  readonly rowsOf: (number: number) => Promise<MicroBatch>;
  /** Called for each computed micro-batch, also if it is computed again. */
  readonly onComputed: (tokenCount: number) => void;
  /** Checked between two micro-batches. */
  readonly signal: AbortSignal;
}

interface InnerLoopLoss {
  /** Cross entropy summed over the labels, in nats, in the micro-batches' order in f64. */
  readonly lossSum: number;
  readonly labelCount: number;
  readonly correctCount: number;
}

const NO_MAXIMA = new Float32Array(0);

/**
 * Leaves the engine with the inner loop's last adapter and moments. Null if a loss or gradient is not finite: the engine's state
 * is useless then. Rejects with the signal's reason.
 */
export async function runInnerLoop(engine: Engine, options: InnerLoopOptions): Promise<InnerLoopLoss | null> {
  let total: InnerLoopLoss = { lossSum: 0, labelCount: 0, correctCount: 0 };
  let maxima: Float32Array | null = null;
  for (const [index, step] of options.innerLoop.innerSteps.entries()) {
    const done = await runInnerStep(engine, options, step, index + 1, maxima);
    if (done === null) return null;
    total = {
      lossSum: total.lossSum + done.lossSum,
      labelCount: total.labelCount + done.labelCount,
      correctCount: total.correctCount + done.correctCount,
    };
    maxima = fadingMaxima(maxima ?? NO_MAXIMA, done.maxima, options.keptShare);
  }
  return total;
}

async function runInnerStep(
  engine: Engine,
  options: InnerLoopOptions,
  step: InnerStep,
  updateNumber: number,
  before: Float32Array | null,
): Promise<InnerLoopLoss & { readonly maxima: Float32Array } | null> {
  const { optimizer, headroomBits, rowsOf, onComputed, signal } = options;
  const { number: first, microBatchCount: count, learningRate } = step;
  const exponentsOf = (maxAbs: Float32Array) => exponentsFrom(maxAbs, count, headroomBits);
  const batches: MicroBatch[] = [];
  const all: Float32Array[] = [];
  let exponents: Exponents | null = before === null ? null : exponentsOf(before);
  let isSummed = true;
  let [lossSum, labelCount, correctCount] = [0, 0, 0];
  for (let i = 0; i < count; i++) {
    const batch = await rowsOf(first + i);
    signal.throwIfAborted();
    const result = await engine.computeGradient(batch, first + i);
    onComputed(batch.tokens.length);
    if (!Number.isFinite(result.lossSum) || firstNonFinite(result.maxAbs) !== -1) return null;
    batches.push(batch);
    all.push(result.maxAbs);
    lossSum += result.lossSum;
    labelCount += result.labelCount;
    correctCount += result.correctCount;
    // Nothing is in the sums yet: the exponents may still change. The first step takes them from its first micro-batch.
    if (i === 0 && (exponents === null || !fits(result.maxAbs, exponents, count))) {
      exponents = exponentsOf(before === null ? result.maxAbs : mergeMaxima([before, result.maxAbs]));
    }
    isSummed &&= fits(result.maxAbs, exponents!, count);
    if (isSummed) await engine.accumulate(exponentBytes(exponents!));
  }
  if (labelCount === 0) {
    throw new LoraFleetError("aborted", `micro-batches ${first} to ${first + count - 1} train no token`);
  }
  const maxima = mergeMaxima(all);
  if (!isSummed) {
    // A gradient did not fit. All maxima are known now, and computing again gives the same gradients.
    exponents = exponentsOf(maxima);
    await engine.dropSums();
    for (const [i, batch] of batches.entries()) {
      signal.throwIfAborted();
      await engine.computeGradient(batch, first + i);
      onComputed(batch.tokens.length);
      await engine.accumulate(exponentBytes(exponents));
    }
  }
  await engine.update({
    ...optimizer,
    ...{ sums: await engine.readSums(), exponents: exponentBytes(exponents!), labelCount },
    ...{ learningRate, updateNumber, digestKind: "none" },
  });
  await engine.commit();
  return { lossSum, labelCount, correctCount, maxima };
}

/** A tensor without an exponent had zero gradients only: any exponent adds nothing. */
export function exponentBytes(exponents: Exponents): Int8Array {
  return Int8Array.from(exponents, (exponent) => exponent ?? 0);
}
