/** Attention within documents, forward and backward. */
import { defineKernel } from "../../../worker/device/kernel.ts";
import { encodeAttention, encodeAttentionBackward } from "../../../worker/kernels/attention/attention.ts";
import { type AttentionCase, attentionInputs } from "../../../worker/kernels/testing/attention_cases.ts";
import type { BenchCase } from "./bench_case.ts";
import type { GpuLab } from "./gpu_lab.ts";
import naiveBackwardSource from "./naive/attention_backward.wgsl" with { type: "text" };
import naiveSource from "./naive/attention.wgsl" with { type: "text" };

/** llvmpipe ends a thread after 65,535 iterations of its loops; a naive one takes 4 · keys · headDim. */
const SHAPES: readonly AttentionCase[] = [
  { name: "demo", lengths: [60, 60, 60, 60, 60], headCount: 4, kvHeadCount: 2, headDim: 32 },
  { name: "one document", lengths: [480], headCount: 4, kvHeadCount: 2, headDim: 32 },
  { name: "7B, 4 of 32 heads", lengths: [120, 90], headCount: 4, kvHeadCount: 4, headDim: 128 },
];

const PARAMS = { tokenCount: "u32", headCount: "u32", kvHeadCount: "u32", scale: "f32" } as const;

const naiveForward = (headDim: number) =>
  defineKernel({
    label: "naive_attention",
    source: naiveSource,
    params: PARAMS,
    bindings: { q: "read f32", k: "read f32", v: "read f32", keyStarts: "read u32", out: "read_write f32" },
    constants: { HEAD_DIM: headDim },
  });

const BACKWARD_INPUTS = {
  q: "read f32",
  k: "read f32",
  v: "read f32",
  out: "read f32",
  dOut: "read f32",
  lse: "read f32",
  bounds: "read u32",
} as const;

const naiveDq = (headDim: number) =>
  defineKernel({
    label: "naive_attention_dq",
    source: naiveBackwardSource,
    params: PARAMS,
    bindings: { ...BACKWARD_INPUTS, dq: "read_write f32" },
    constants: { HEAD_DIM: headDim, KEYS: false },
  });

const naiveDkv = (headDim: number) =>
  defineKernel({
    label: "naive_attention_dkv",
    source: naiveBackwardSource,
    params: PARAMS,
    bindings: { ...BACKWARD_INPUTS, dk: "read_write f32", dv: "read_write f32" },
    constants: { HEAD_DIM: headDim, KEYS: true },
  });

const labelOf = ({ name, lengths, headCount, kvHeadCount, headDim }: AttentionCase) =>
  `${name}, ${lengths.join("+")} tokens, ${headCount}/${kvHeadCount} heads of ${headDim}`;

/** Pairs of a query and a key that it sees. */
const pairsOf = ({ lengths }: AttentionCase) =>
  lengths.reduce((sum, length) => sum + length * (length + 1) / 2, 0);

const groupsFor = (threads: number) => [Math.ceil(threads / 64)] as const;

/** A shape's sizes and its inputs on the GPU. */
function uploadInputs(lab: GpuLab, shape: AttentionCase) {
  const { headCount, kvHeadCount, headDim } = shape;
  const { tokenCount, ...arrays } = attentionInputs(shape);
  const heads = { headCount, kvHeadCount, headDim, scale: 1 / Math.sqrt(headDim) };
  return {
    heads,
    params: { tokenCount, headCount, kvHeadCount, scale: heads.scale },
    q: lab.upload(arrays.q),
    k: lab.upload(arrays.k),
    v: lab.upload(arrays.v),
    dOut: lab.upload(arrays.dOut),
    keyStarts: lab.upload(arrays.keyStarts),
    keyEnds: lab.upload(arrays.keyEnds),
    queryEnds: lab.upload(arrays.queryEnds),
    lse: lab.zeros(tokenCount * headCount),
    tokenCount,
    queryRows: tokenCount * headCount,
    keyRows: tokenCount * kvHeadCount,
  };
}

export function* attentionCases(lab: GpuLab): Generator<BenchCase> {
  for (const shape of SHAPES) {
    const inputs = uploadInputs(lab, shape);
    const { heads, params, q, k, v, keyStarts, queryRows } = inputs;
    const [expected, out] = [0, 1].map(() => lab.zeros(queryRows * shape.headDim));
    const naive = naiveForward(shape.headDim);
    yield {
      label: labelOf(shape),
      naive: () =>
        lab.pass.dispatch(naive, { ...params, q, k, v, keyStarts, out: expected! }, groupsFor(queryRows)),
      ours: () =>
        encodeAttention(lab.pass, { ...inputs, ...heads, out: out!, queryCount: inputs.tokenCount }),
      outputs: () => lab.readBoth(expected!, out!),
      cost: { amount: 4 * pairsOf(shape) * shape.headCount * shape.headDim, unit: "FLOP" },
    };
  }
}

/** Compares dk, the last of the chain, which depends on all keys and queries. */
export function* attentionBackwardCases(lab: GpuLab): Generator<BenchCase> {
  for (const shape of SHAPES) {
    const { headDim, headCount } = shape;
    const inputs = uploadInputs(lab, shape);
    const { heads, params, q, k, v, dOut, lse, keyStarts, queryEnds, queryRows, keyRows } = inputs;
    const out = lab.zeros(queryRows * headDim);
    encodeAttention(lab.pass, { ...inputs, ...heads, out, queryCount: inputs.tokenCount });
    const results = () => ({
      dq: lab.zeros(queryRows * headDim),
      dk: lab.zeros(keyRows * headDim),
      dv: lab.zeros(keyRows * headDim),
    });
    const [expected, got] = [results(), results()];
    const delta = lab.zeros(queryRows);
    const [dqKernel, dkvKernel] = [naiveDq(headDim), naiveDkv(headDim)];
    const read = { ...params, q, k, v, out, dOut, lse };
    yield {
      label: labelOf(shape),
      naive: () => {
        const { dq, dk, dv } = expected;
        lab.pass.dispatch(dqKernel, { ...read, bounds: keyStarts, dq }, groupsFor(queryRows));
        lab.pass.dispatch(dkvKernel, { ...read, bounds: queryEnds, dk, dv }, groupsFor(keyRows));
      },
      ours: () => encodeAttentionBackward(lab.pass, { ...inputs, ...heads, ...got, out, delta }),
      outputs: () => lab.readBoth(expected.dk, got.dk),
      cost: { amount: 10 * pairsOf(shape) * headCount * headDim, unit: "FLOP" },
    };
  }
}
