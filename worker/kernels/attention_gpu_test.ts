import { assertThrows } from "@std/assert";
import { attentionBackwardCpu, attentionCpu } from "./attention_cpu.ts";
import { encodeAttention, encodeAttentionBackward } from "./attention.ts";
import {
  checkGradient,
  checkKernel,
  f32Tolerance,
  randomNormal,
  rms,
  testGpu,
  testPrng,
} from "./kernel_contract.ts";

/** Documents laid end to end: where each token's own begins and ends. */
function documents(...lengths: number[]) {
  const keyStarts: number[] = [];
  const queryEnds: number[] = [];
  for (const length of lengths) {
    const start = keyStarts.length;
    for (let i = 0; i < length; i++) {
      keyStarts.push(start);
      queryEnds.push(start + length);
    }
  }
  const keyEnds = Uint32Array.from(keyStarts, (_, t) => t + 1);
  return { keyStarts: Uint32Array.from(keyStarts), keyEnds, queryEnds: Uint32Array.from(queryEnds) };
}

interface Shape {
  readonly name: string;
  readonly lengths: number[];
  readonly headCount: number;
  readonly kvHeadCount: number;
  readonly headDim: number;
}

const SHAPES: Shape[] = [
  { name: "one token", lengths: [1], headCount: 1, kvHeadCount: 1, headDim: 32 },
  { name: "documents of one token", lengths: [1, 1, 1, 1, 1], headCount: 2, kvHeadCount: 1, headDim: 16 },
  { name: "ragged documents", lengths: [5, 1, 40, 17, 33], headCount: 4, kvHeadCount: 4, headDim: 32 },
  { name: "three query heads a group", lengths: [13, 9], headCount: 6, kvHeadCount: 2, headDim: 24 },
  { name: "eight query heads a group", lengths: [3, 20], headCount: 8, kvHeadCount: 1, headDim: 64 },
  { name: "one long document", lengths: [197], headCount: 2, kvHeadCount: 1, headDim: 16 },
  { name: "a head of no whole vec4s", lengths: [7, 6], headCount: 3, kvHeadCount: 1, headDim: 10 },
  { name: "heads of 80", lengths: [21, 34], headCount: 2, kvHeadCount: 2, headDim: 80 },
  { name: "heads of 96", lengths: [34, 3], headCount: 2, kvHeadCount: 1, headDim: 96 },
  { name: "heads of 128", lengths: [11, 30], headCount: 4, kvHeadCount: 1, headDim: 128 },
  { name: "heads of 256", lengths: [2, 35], headCount: 2, kvHeadCount: 1, headDim: 256 },
];

function inputsOf({ name, lengths, headCount, kvHeadCount, headDim }: Shape, magnitude = 1) {
  const prng = testPrng(name);
  const tokenCount = lengths.reduce((sum, length) => sum + length);
  return {
    ...documents(...lengths),
    q: randomNormal(prng, tokenCount * headCount * headDim, magnitude),
    k: randomNormal(prng, tokenCount * kvHeadCount * headDim, magnitude),
    v: randomNormal(prng, tokenCount * kvHeadCount * headDim),
    dOut: randomNormal(prng, tokenCount * headCount * headDim),
    tokenCount,
  };
}

for (const shape of SHAPES) {
  const { name, headCount, kvHeadCount, headDim } = shape;
  const heads = { headCount, kvHeadCount, headDim, scale: 1 / Math.sqrt(headDim) };

  Deno.test(`attention, ${name}: agrees with its reference`, async () => {
    const { q, k, v, keyStarts, keyEnds, tokenCount } = inputsOf(shape);
    await checkKernel({
      label: `attention, ${name}`,
      inputs: { q, k, v, keyStarts, keyEnds },
      expected: attentionCpu({ q, k, v, keyStarts, keyEnds, ...heads }),
      encode: (pass, t) => encodeAttention(pass, { ...t, ...heads, queryCount: tokenCount }),
      tolerance: f32Tolerance(headDim, 3),
    });
  });

  Deno.test(`attention backward, ${name}: agrees with its reference`, async () => {
    const { q, k, v, dOut, keyStarts, keyEnds, queryEnds, tokenCount } = inputsOf(shape);
    const { out, lse } = attentionCpu({ q, k, v, keyStarts, keyEnds, ...heads });
    const expected = attentionBackwardCpu({ q, k, v, dOut, keyStarts, keyEnds, ...heads });
    const { dq, dk, dv, delta } = expected;
    await checkKernel({
      label: `attention backward, ${name}`,
      inputs: {
        q,
        k,
        v,
        out: Float32Array.from(out),
        lse: Float32Array.from(lse),
        dOut,
        keyStarts,
        queryEnds,
      },
      expected: { dq, dk, dv, delta },
      encode: (pass, t) => encodeAttentionBackward(pass, { ...t, ...heads, tokenCount }),
      tolerance: {
        delta: f32Tolerance(headDim, 4 * rms(delta) + 1),
        dq: f32Tolerance(headDim, 8 * rms(dq) + 1),
        dk: f32Tolerance(headDim, 8 * rms(dk) + 1),
        dv: f32Tolerance(headDim, 8 * rms(dv) + 1),
      },
    });
  });
}

Deno.test("attention's backward reference is the derivative of its forward", () => {
  const shape = { name: "fd", lengths: [3, 1, 4], headCount: 3, kvHeadCount: 1, headDim: 4 };
  const { keyStarts, keyEnds, ...random } = inputsOf(shape);
  const [q, k, v] = [random.q, random.k, random.v].map((x) => Float64Array.from(x));
  const call = {
    q: q!,
    k: k!,
    v: v!,
    keyStarts,
    keyEnds,
    headCount: 3,
    kvHeadCount: 1,
    headDim: 4,
    scale: 0.7,
  };
  const loss = () => attentionCpu(call).out.reduce((sum, value, i) => sum + value * random.dOut[i]!, 0);
  const { dq, dk, dv } = attentionBackwardCpu({ ...call, dOut: random.dOut });
  checkGradient("dq", loss, call.q, dq);
  checkGradient("dk", loss, call.k, dk);
  checkGradient("dv", loss, call.v, dv);
});

Deno.test("heads that do not fit each other are refused", async () => {
  const gpu = await testGpu();
  const t = gpu.allocate("t", 64);
  const call = { q: t, k: t, v: t, out: t, lse: t, keyStarts: t, keyEnds: t, queryCount: 1, scale: 1 };
  assertThrows(
    () => encodeAttention(gpu.pass, { ...call, headCount: 4, kvHeadCount: 3, headDim: 8 }),
    RangeError,
    "4 query heads",
  );
  assertThrows(
    () => encodeAttention(gpu.pass, { ...call, headCount: 4, kvHeadCount: 2, headDim: 258 }),
    RangeError,
    "heads of 258 values",
  );
});
