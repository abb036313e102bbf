import { assert, assertThrows } from "@std/assert";
import { encodeAttention, encodeAttentionBackward } from "./attention.ts";
import { type AttentionCase, attentionInputs } from "../testing/attention_cases.ts";
import { attentionBackwardCpu, attentionCpu } from "./attention_cpu.ts";
import { type AttentionVariant, chooseAttention } from "./attention_kernels.ts";
import { checkGradient } from "../testing/check_gradient.ts";
import { checkKernel } from "../testing/kernel_contract.ts";
import { f32Tolerance, rms } from "../testing/tolerance.ts";
import { randomNormal, testPrng } from "../testing/random_inputs.ts";
import { testGpu } from "../../device/testing/test_gpu.ts";

const VARIANTS: AttentionVariant[] = ["rows on a CPU", "rows on a GPU", "tiles"];
/** Wide heads, which make the rows variants compile slowly. */
const TILES: AttentionVariant[] = ["tiles"];

const CASES: [AttentionVariant[], AttentionCase & { readonly softCap?: number }][] = [
  [VARIANTS, { name: "one token", lengths: [1], headCount: 1, kvHeadCount: 1, headDim: 16 }],
  [VARIANTS, { name: "tiny documents", lengths: [1, 1, 1, 2, 1], headCount: 2, kvHeadCount: 1, headDim: 16 }],
  [VARIANTS, { name: "one long document", lengths: [197], headCount: 2, kvHeadCount: 1, headDim: 16 }],
  [VARIANTS, { name: "ragged ones", lengths: [5, 1, 40, 17, 33], headCount: 4, kvHeadCount: 4, headDim: 32 }],
  [VARIANTS, { name: "3 query heads a group", lengths: [13, 9], headCount: 6, kvHeadCount: 2, headDim: 24 }],
  [VARIANTS, { name: "no whole vec4s", lengths: [7, 36], headCount: 3, kvHeadCount: 1, headDim: 10 }],
  [VARIANTS, {
    name: "a window of 1",
    lengths: [9, 1, 4],
    window: 1,
    headCount: 2,
    kvHeadCount: 1,
    headDim: 16,
  }],
  [VARIANTS, {
    name: "a window within tiles",
    lengths: [70, 5, 41],
    window: 7,
    headCount: 4,
    kvHeadCount: 2,
    headDim: 16,
  }],
  [VARIANTS, {
    name: "a window beyond tiles",
    lengths: [3, 150],
    window: 67,
    headCount: 2,
    kvHeadCount: 2,
    headDim: 10,
  }],
  [["rows on a CPU", "tiles"], {
    name: "8 query heads a group",
    lengths: [3, 20],
    headCount: 8,
    kvHeadCount: 1,
    headDim: 64,
  }],
  [TILES, { name: "heads of 80", lengths: [21, 34], headCount: 2, kvHeadCount: 2, headDim: 80 }],
  [TILES, { name: "heads of 96", lengths: [34, 3], headCount: 2, kvHeadCount: 1, headDim: 96 }],
  [TILES, { name: "heads of 128", lengths: [11, 70], headCount: 4, kvHeadCount: 1, headDim: 128 }],
  [TILES, {
    name: "heads of 128 and a window",
    lengths: [11, 90],
    window: 40,
    headCount: 2,
    kvHeadCount: 1,
    headDim: 128,
  }],
  [TILES, { name: "heads of 138", lengths: [4, 5], headCount: 1, kvHeadCount: 1, headDim: 138 }],
  [TILES, { name: "heads of 256", lengths: [2, 35], headCount: 2, kvHeadCount: 1, headDim: 256 }],
  // Scores are near ±1: some below the cap, some far above.
  [VARIANTS, { name: "capped", lengths: [3, 41], headCount: 4, kvHeadCount: 2, headDim: 12, softCap: 0.75 }],
  [VARIANTS, {
    name: "a high cap",
    lengths: [1, 38],
    headCount: 2,
    kvHeadCount: 1,
    headDim: 16,
    softCap: 50,
  }],
  [TILES, { name: "capped, wide", lengths: [35], headCount: 2, kvHeadCount: 1, headDim: 256, softCap: 1.5 }],
];

for (const [variants, attentionCase] of CASES) {
  const { headCount, kvHeadCount, headDim, softCap = null } = attentionCase;
  const heads = { headCount, kvHeadCount, headDim, softCap, scale: 1 / Math.sqrt(headDim) };
  for (const variant of variants) {
    const name = `${attentionCase.name}, ${variant}`;

    Deno.test(`attention, ${name}: agrees with its reference`, async () => {
      const { q, k, v, keyStarts, keyEnds, tokenCount } = attentionInputs(attentionCase);
      await checkKernel({
        label: `attention, ${name}`,
        inputs: { q, k, v, keyStarts, keyEnds },
        expected: attentionCpu({ q, k, v, keyStarts, keyEnds, ...heads }),
        encode: (pass, t) => encodeAttention(pass, { ...t, ...heads, variant, queryCount: tokenCount }),
        tolerance: f32Tolerance(headDim, 3),
      });
    });

    Deno.test(`attention backward, ${name}: agrees with its reference`, async () => {
      const { q, k, v, dOut, keyStarts, keyEnds, queryEnds, tokenCount } = attentionInputs(attentionCase);
      const forward = attentionCpu({ q, k, v, keyStarts, keyEnds, ...heads });
      const [out, lse] = [Float32Array.from(forward.out), Float32Array.from(forward.lse)];
      const expected = attentionBackwardCpu({ q, k, v, dOut, keyStarts, keyEnds, ...heads });
      const { dq, dk, dv, delta } = expected;
      await checkKernel({
        label: `attention backward, ${name}`,
        inputs: { q, k, v, out, lse, dOut, keyStarts, queryEnds },
        expected: { dq, dk, dv, delta },
        encode: (pass, t) => encodeAttentionBackward(pass, { ...t, ...heads, variant, tokenCount }),
        tolerance: {
          delta: f32Tolerance(headDim, 4 * rms(delta) + 1),
          dq: f32Tolerance(headDim, 8 * rms(dq) + 1),
          dk: f32Tolerance(headDim, 8 * rms(dk) + 1),
          dv: f32Tolerance(headDim, 8 * rms(dv) + 1),
        },
      });
    });
  }
}

const SMALL = { headCount: 4, kvHeadCount: 2, headDim: 16, scale: 0.25 };

/** Ranges into a cache, as in generation: [first key, end] of each query. */
const RANGES: Record<string, [number, number][]> = {
  "one query a sequence": [[0, 12], [30, 61], [62, 63], [90, 150], [160, 161], [161, 170], [199, 200]],
  "prompts of three sequences": [[10, 11], [10, 12], [10, 13], [100, 180], [100, 181], [188, 200]],
  "in no order": [[150, 200], [0, 1], [20, 150], [5, 9], [5, 90], [199, 200], [3, 4]],
  "more queries than a tile": Array.from({ length: 45 }, (_, i) => [4 * i, 4 * i + 1 + i % 7]),
};

for (const variant of VARIANTS) {
  for (const [name, ranges] of Object.entries(RANGES)) {
    Deno.test(`attention into a cache, ${name}, ${variant}: agrees with its reference`, async () => {
      const prng = testPrng(name);
      const [headSize, cacheRows] = [SMALL.headDim, 200];
      const q = randomNormal(prng, ranges.length * SMALL.headCount * headSize);
      const k = randomNormal(prng, cacheRows * SMALL.kvHeadCount * headSize);
      const v = randomNormal(prng, cacheRows * SMALL.kvHeadCount * headSize);
      const keyStarts = Uint32Array.from(ranges, ([start]) => start);
      const keyEnds = Uint32Array.from(ranges, ([, end]) => end);
      await checkKernel({
        label: `attention into a cache, ${name}, ${variant}`,
        inputs: { q, k, v, keyStarts, keyEnds },
        expected: attentionCpu({ q, k, v, keyStarts, keyEnds, ...SMALL }),
        encode: (pass, t) => encodeAttention(pass, { ...t, ...SMALL, variant, queryCount: ranges.length }),
        tolerance: f32Tolerance(headSize, 3),
      });
    });
  }

  Deno.test(`attention, ${variant}: huge scores neither overflow nor lose their maximum`, async () => {
    const magnitude = 1e15; // scores near ±1e30
    const attentionCase = { ...SMALL, name: "huge scores", lengths: [20, 9] };
    const { q, k, v, keyStarts, keyEnds, tokenCount } = attentionInputs(attentionCase, magnitude);
    const expected = attentionCpu({ q, k, v, keyStarts, keyEnds, ...SMALL });
    assert(rms(expected.lse) > 1e29, "the case has huge scores");
    await checkKernel({
      label: `attention with huge scores, ${variant}`,
      inputs: { q, k, v, keyStarts, keyEnds },
      expected,
      encode: (pass, t) => encodeAttention(pass, { ...t, ...SMALL, variant, queryCount: tokenCount }),
      tolerance: { out: 0, lse: f32Tolerance(SMALL.headDim, magnitude ** 2) },
    });
  });

  Deno.test(`attention, ${variant}: huge scores stop at the soft cap`, async () => {
    const attentionCase = { ...SMALL, name: "huge scores, capped", lengths: [20, 9] };
    const { q, k, v, keyStarts, keyEnds, tokenCount } = attentionInputs(attentionCase, 1e15);
    const capped = { ...SMALL, softCap: 2 };
    await checkKernel({
      label: `attention with huge scores under a soft cap, ${variant}`,
      inputs: { q, k, v, keyStarts, keyEnds },
      expected: attentionCpu({ q, k, v, keyStarts, keyEnds, ...capped }),
      encode: (pass, t) => encodeAttention(pass, { ...t, ...capped, variant, queryCount: tokenCount }),
      tolerance: f32Tolerance(SMALL.headDim, 3),
    });
  });

  Deno.test(`attention, ${variant}: one score far above the rest takes all, also in the backward`, async () => {
    const attentionCase = { ...SMALL, name: "sharp scores", lengths: [23, 8] };
    const inputs = attentionInputs(attentionCase, 12); // scores near ±150: most probabilities underflow
    const { q, k, v, dOut, keyStarts, keyEnds, queryEnds, tokenCount } = inputs;
    const forward = attentionCpu({ q, k, v, keyStarts, keyEnds, ...SMALL });
    const [out, lse] = [Float32Array.from(forward.out), Float32Array.from(forward.lse)];
    const { dq, dk, dv } = attentionBackwardCpu({ q, k, v, dOut, keyStarts, keyEnds, ...SMALL });
    const delta = forward.lse.map((_, i) => {
      const [head, token] = [Math.floor(i / tokenCount), i % tokenCount];
      const at = (token * SMALL.headCount + head) * SMALL.headDim;
      return dOut.subarray(at, at + SMALL.headDim).reduce((sum, value, c) => sum + value * out[at + c]!, 0);
    });
    const scores = f32Tolerance(SMALL.headDim, 3 * rms(forward.lse)); // a score's error is a probability's relative one
    await checkKernel({
      label: `attention backward with sharp scores, ${variant}`,
      inputs: { q, k, v, out, lse, dOut, keyStarts, queryEnds },
      expected: { dq, dk, dv, delta },
      encode: (pass, t) => encodeAttentionBackward(pass, { ...t, ...SMALL, variant, tokenCount }),
      tolerance: { dq: 24 * scores, dk: 24 * scores, dv: 8 * scores, delta: f32Tolerance(SMALL.headDim, 8) },
    });
  });
}

for (const softCap of [null, 1.2]) {
  Deno.test(`attention's backward reference is the derivative of its forward, soft cap ${softCap}`, () => {
    const heads = { headCount: 3, kvHeadCount: 1, headDim: 4, scale: 0.7, softCap };
    const { keyStarts, keyEnds, dOut, ...random } = attentionInputs({
      ...heads,
      name: "finite differences",
      lengths: [3, 1, 4],
    });
    const [q, k, v] = [random.q, random.k, random.v].map((x) => Float64Array.from(x)) as [
      Float64Array,
      Float64Array,
      Float64Array,
    ];
    const call = { q, k, v, keyStarts, keyEnds, ...heads };
    const loss = () => attentionCpu(call).out.reduce((sum, value, i) => sum + value * dOut[i]!, 0);
    const { dq, dk, dv } = attentionBackwardCpu({ ...call, dOut });
    checkGradient("dq", loss, q, dq);
    checkGradient("dk", loss, k, dk);
    checkGradient("dv", loss, v, dv);
  });
}

Deno.test("head counts that do not divide, and heads that are too wide, are refused", async () => {
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

Deno.test("wide heads go through tiles, from a smaller size on a GPU than on a CPU", () => {
  const [cpu, gpu] = [{ isCpu: true, subgroupSize: 8 }, { isCpu: false, subgroupSize: 32 }];
  const chosen = [16, 32, 64, 128].map((headDim) =>
    [cpu, gpu].map((processor) => chooseAttention(headDim, processor))
  );
  assert(chosen[0]!.join() === "rows on a CPU,rows on a GPU" && chosen[1]!.join() === chosen[0]!.join());
  assert(chosen[2]!.join() === "rows on a CPU,tiles" && chosen[3]!.join() === "tiles,tiles");
});
