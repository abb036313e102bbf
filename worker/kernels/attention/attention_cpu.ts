/** Attention in f64, in plain loops with a row's scores in memory: the reference of the kernels. */

interface Inputs {
  /** [queries, headCount · headDim] */
  q: ArrayLike<number>;
  /** [keys, kvHeadCount · headDim], as `v`. */
  k: ArrayLike<number>;
  v: ArrayLike<number>;
  /** Query t attends to the keys keyStarts[t] … keyEnds[t] − 1. */
  keyStarts: ArrayLike<number>;
  keyEnds: ArrayLike<number>;
  headCount: number;
  kvHeadCount: number;
  headDim: number;
  scale: number;
  /** Scores s become c · tanh(s / c). */
  softCap?: number | null;
}

/** out [queries, headCount · headDim] and lse [headCount, queries], the natural logarithm of Σ exp(scale · q · k). */
export function attentionCpu(call: Inputs) {
  const { q, v, keyStarts, keyEnds, headCount, kvHeadCount, headDim } = call;
  const queryCount = keyStarts.length;
  const out = new Float64Array(q.length);
  const lse = new Float64Array(headCount * queryCount);
  for (let head = 0; head < headCount; head++) {
    const kvHead = Math.floor(head / (headCount / kvHeadCount));
    for (let t = 0; t < queryCount; t++) {
      const [start, end] = [keyStarts[t]!, keyEnds[t]!];
      const scores = Array.from({ length: end - start }, (_, i) => score(call, head, kvHead, t, start + i));
      const top = scores.reduce((a, b) => Math.max(a, b));
      const sum = scores.reduce((total, value) => total + Math.exp(value - top), 0);
      lse[head * queryCount + t] = top + Math.log(sum);
      for (let j = start; j < end; j++) {
        const p = Math.exp(scores[j - start]! - top) / sum;
        for (let c = 0; c < headDim; c++) {
          out[(t * headCount + head) * headDim + c]! += p * v[(j * kvHeadCount + kvHead) * headDim + c]!;
        }
      }
    }
  }
  return { out, lse };
}

/**
 * The gradients of q, k and v from the gradient dOut of out; delta [headCount, queries] = rowsum(dOut · out).
 *
 * With P the probabilities: dV = Pᵀ·dOut, dP = dOut·Vᵀ, dS = P ∘ (dP − delta), dQ = scale·dS·K, dK = scale·dSᵀ·Q. A soft cap
 * gives each dS its slope 1 − tanh²(s / c), which is 1 − (score / c)².
 */
export function attentionBackwardCpu(call: Inputs & { dOut: ArrayLike<number> }) {
  const { q, k, v, dOut, keyStarts, keyEnds, headCount, kvHeadCount, headDim, scale, softCap } = call;
  const queryCount = keyStarts.length;
  const { out, lse } = attentionCpu(call);
  const [dq, dk, dv] = [new Float64Array(q.length), new Float64Array(k.length), new Float64Array(v.length)];
  const delta = new Float64Array(lse.length);
  for (let head = 0; head < headCount; head++) {
    const kvHead = Math.floor(head / (headCount / kvHeadCount));
    for (let t = 0; t < queryCount; t++) {
      const row = (t * headCount + head) * headDim;
      let rowDelta = 0;
      for (let c = 0; c < headDim; c++) rowDelta += dOut[row + c]! * out[row + c]!;
      delta[head * queryCount + t] = rowDelta;
      for (let j = keyStarts[t]!; j < keyEnds[t]!; j++) {
        const column = (j * kvHeadCount + kvHead) * headDim;
        const capped = score(call, head, kvHead, t, j);
        const slope = softCap ? 1 - (capped / softCap) ** 2 : 1;
        const p = Math.exp(capped - lse[head * queryCount + t]!);
        let dp = 0;
        for (let c = 0; c < headDim; c++) dp += dOut[row + c]! * v[column + c]!;
        const ds = scale * slope * p * (dp - rowDelta);
        for (let c = 0; c < headDim; c++) {
          dv[column + c]! += p * dOut[row + c]!;
          dq[row + c]! += ds * k[column + c]!;
          dk[column + c]! += ds * q[row + c]!;
        }
      }
    }
  }
  return { delta, dq, dk, dv };
}

function score(
  { q, k, headCount, kvHeadCount, headDim, scale, softCap }: Inputs,
  head: number,
  kvHead: number,
  t: number,
  j: number,
): number {
  let dot = 0;
  for (let c = 0; c < headDim; c++) {
    dot += q[(t * headCount + head) * headDim + c]! * k[(j * kvHeadCount + kvHead) * headDim + c]!;
  }
  return softCap ? softCap * Math.tanh(scale * dot / softCap) : scale * dot;
}
