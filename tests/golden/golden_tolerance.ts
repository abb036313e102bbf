/**
 * How far a correct f32 computation may be from the goldens. Both are f32, so the allowance has two parts:
 *
 * 1. The goldens' own distance from the truth, which was measured against f64 (`f32Error`).
 * 2. Ours. Unit roundoff is u = 2^−24. A sum of n products rounds n times; roundings are as good as independent, so its
 *    relative error is about (1 + √n)·u, as in worker/kernels/testing/tolerance.ts. A logit has passed through many sums one after the other
 *    (in a layer: two norms, q/k/v, scores, the weighted sum of values, o, gate/up, down), whose errors add up as squares:
 *    ρ = u·√Σ(1 + √n)². The residual stream carries each error on at about its own size, so an element of size s is off by
 *    ρ·s, and the largest of N elements by √(2 ln N) times that, as for N normal numbers. A gradient passes through the sums
 *    once more on its way back: √2·ρ.
 *
 * A factor of 2 stands for what that leaves out: softmax and SwiGLU pass on an error at up to about twice its size.
 */
import type { TransformerSpec } from "../../shared/model/transformer_spec.ts";
import type { F32Error } from "./golden.ts";

const UNIT_ROUNDOFF = 2 ** -24;
const NONLINEARITY = 2;

/** ρ: the relative error that a pass from the embeddings to the logits leaves. */
export function passError(spec: TransformerSpec, tokenCount: number): number {
  const { hiddenSize, intermediateSize, headCount, headDim, layerCount, queryKeyNorm, postNorms } = spec;
  const ofLayer = [
    hiddenSize, // norm
    hiddenSize, // q, k, v
    ...(queryKeyNorm ? [headDim] : []), // norms of q and k
    headDim, // scores
    tokenCount, // weighted sum of values
    headCount * headDim, // o
    ...(postNorms ? [hiddenSize, hiddenSize] : []), // norms behind o and down
    hiddenSize, // norm
    hiddenSize, // gate, up
    intermediateSize, // down
  ];
  const ofHead = [hiddenSize, hiddenSize]; // norm, logits
  const sumOfSquares = (counts: number[]) => counts.reduce((sum, n) => sum + (1 + Math.sqrt(n)) ** 2, 0);
  return UNIT_ROUNDOFF * Math.sqrt(layerCount * sumOfSquares(ofLayer) + sumOfSquares(ofHead));
}

/** The largest of `count` normal numbers of deviation 1, about. */
function largestOf(count: number): number {
  return Math.sqrt(2 * Math.log(Math.max(2, count)));
}

/** For each logit of a batch. */
export function logitTolerance(
  spec: TransformerSpec,
  tokenCount: number,
  logits: Float32Array,
  goldens: F32Error,
): number {
  const typical = Math.sqrt(logits.reduce((sum, value) => sum + value ** 2, 0) / logits.length);
  const ours = NONLINEARITY * largestOf(logits.length) * passError(spec, tokenCount) * typical;
  return goldens.maxAbs + ours;
}

/**
 * For the summed loss: d loss / d logits is softmax − one-hot for each target, whose magnitudes add up to at most 2; and the
 * sum itself is rounded once for each target.
 */
export function lossTolerance(toleranceOfLogits: number, lossSum: number, labelCount: number): number {
  return 2 * labelCount * toleranceOfLogits + UNIT_ROUNDOFF * (1 + Math.sqrt(labelCount)) * lossSum;
}

/** For each element of a LoRA gradient, relative to the tensor's largest. */
export function relativeGradientTolerance(
  spec: TransformerSpec,
  tokenCount: number,
  elementCount: number,
  goldens: F32Error,
): number {
  const ours = NONLINEARITY * largestOf(elementCount) * Math.SQRT2 * passError(spec, tokenCount);
  return goldens.maxAbs / goldens.scale + ours;
}

/**
 * For what ten steps make of it: losses, norms, the final adapter. How an error grows from step to step depends on the curvature
 * and on Adam's division by small moments; the goldens' own distance from f64 has gone through both and is the measure. Ours is
 * a second draw of the same kind: its sums of up to 136 products run in one sequence, where torch's run in 8 or 16 lanes side
 * by side, which is up to √16 = 4 times the rounding; and a maximum over few values is easily half of the next draw's.
 */
export function trainingTolerance(goldens: F32Error): number {
  return 4 * 2 * goldens.maxAbs;
}
