/** Bits of kernels whose grids are cut into parts: those of the whole. */
import { assert, assertEquals } from "@std/assert";
import { Gpu } from "../device/gpu.ts";
import type { Pass } from "../device/pass.ts";
import type { GpuTensor } from "../device/tensor.ts";
import { encodeAttention, encodeAttentionBackward } from "./attention/attention.ts";
import type { AttentionVariant } from "./attention/attention_kernels.ts";
import { encodeMatmul } from "./matmul/matmul.ts";
import { chooseTile } from "./matmul/tile.ts";
import { attentionInputs } from "./testing/attention_cases.ts";
import { randomNormal, testPrng } from "./testing/random_inputs.ts";
import { encodeArgmax } from "./vocabulary/argmax.ts";
import { encodeCrossEntropyStats } from "./vocabulary/cross_entropy.ts";

type Inputs = Readonly<Record<string, Float32Array | Uint32Array>>;
type TensorMap = Readonly<Record<string, GpuTensor>>;

interface Case {
  readonly inputs: Inputs;
  /** Elements of each output. */
  readonly outputs: Readonly<Record<string, number>>;
  readonly encode: (pass: Pass, tensors: TensorMap) => void;
}

/** @returns the words of every output, and the submits */
async function run({ inputs, outputs, encode }: Case, submitTargetMs: number) {
  const gpu = await Gpu.open({ allowCpu: true, submitTargetMs });
  try {
    const tensors: Record<string, GpuTensor> = {};
    for (const [name, values] of Object.entries(inputs)) tensors[name] = gpu.upload(name, values);
    for (const [name, count] of Object.entries(outputs)) {
      tensors[name] = gpu.upload(name, new Float32Array(count).fill(NaN));
    }
    encode(gpu.pass, tensors);
    const bytes = await gpu.readAll(Object.keys(outputs).map((name) => tensors[name]!));
    return { words: bytes.map((each) => new Uint32Array(each)), submits: gpu.pass.submits.stats.count };
  } finally {
    gpu.close();
  }
}

/** @param least submits, if every workgroup is a part */
async function assertSameBits(name: string, one: Case, least: number): Promise<void> {
  const [whole, divided] = [await run(one, 1e9), await run(one, 1e-9)];
  assertEquals(whole.submits, 1, name);
  assert(divided.submits >= least, `${name}: ${divided.submits} submits`);
  for (const [index, words] of whole.words.entries()) {
    assert(!new Float32Array(words.buffer).some(Number.isNaN), `${name}: output ${index} has NaN`);
    assertEquals(divided.words[index], words, `${name}: output ${index}`);
  }
}

Deno.test("products have the same bits in parts of one workgroup, in every layout and a GPU's tiles too", async () => {
  const [m, n, k] = [140, 133, 36];
  for (const layout of ["nt", "nn", "tn"] as const) {
    for (const processor of layout === "nt" ? [null, { isCpu: false, subgroupSize: 0 }] : [null]) {
      const prng = testPrng(`divided ${layout}`);
      const tile = processor && { tile: chooseTile({ m: 2048, n: 2048, k }, processor) };
      await assertSameBits(`${layout} ${processor ? "GPU" : "own"} tile`, {
        inputs: { a: randomNormal(prng, m * k), b: randomNormal(prng, n * k) },
        outputs: { out: m * n },
        encode: (pass, { a, b, out }) =>
          encodeMatmul(pass, { a: a!, b: b!, out: out!, m, n, k, layout, ...tile }),
      }, 4);
    }
  }
});

const VARIANTS: readonly AttentionVariant[] = ["rows on a CPU", "rows on a GPU", "tiles"];

for (const variant of VARIANTS) {
  Deno.test(`attention, ${variant}: the same bits in parts of one workgroup, forward and backward`, async () => {
    const sizes = { headCount: 4, kvHeadCount: 2, headDim: 16 };
    const { tokenCount, ...inputs } = attentionInputs({ name: "divided", lengths: [37, 3, 60], ...sizes });
    const [query, keyValue] = [tokenCount * 4 * 16, tokenCount * 2 * 16];
    await assertSameBits(variant, {
      inputs,
      outputs: {
        ...{ out: query, dq: query, dk: keyValue, dv: keyValue },
        lse: 4 * tokenCount,
        delta: 4 * tokenCount,
      },
      encode: (pass, tensors) => {
        const t = tensors as Record<
          keyof typeof inputs | "out" | "dq" | "dk" | "dv" | "lse" | "delta",
          GpuTensor
        >;
        const call = { ...t, ...sizes, scale: 0.25, variant };
        encodeAttention(pass, { ...call, queryCount: tokenCount });
        encodeAttentionBackward(pass, { ...call, tokenCount });
      },
    }, 10);
  });
}

Deno.test("the rows of the loss and of the most likely token are the same in parts", async () => {
  const [rows, columns] = [9, 70];
  const prng = testPrng("divided rows");
  await assertSameBits("vocabulary", {
    inputs: {
      logits: randomNormal(prng, rows * columns),
      labels: Uint32Array.from({ length: rows }, (_, i) => i),
    },
    outputs: { stats: 3 * rows, bestLogit: rows, bestColumn: rows },
    encode: (pass, tensors) => {
      const t = tensors as Record<"logits" | "labels" | "stats" | "bestLogit" | "bestColumn", GpuTensor>;
      const chunk = { ...t, rows, columns, firstColumn: 0 };
      encodeCrossEntropyStats(pass, chunk);
      encodeArgmax(pass, chunk);
    },
  }, 18);
});
