import type { Prng } from "../../../shared/prng.ts";
import { checkKernel } from "../testing/kernel_contract.ts";
import { f32Tolerance } from "../testing/tolerance.ts";
import { randomNormal, testPrng } from "../testing/random_inputs.ts";
import { testGpu } from "../../device/testing/test_gpu.ts";
import { matmulCpu } from "./matmul_cpu.ts";
import { otherProcessors } from "../testing/other_processors.ts";
import { chooseTile } from "./tile.ts";
import type { Processor } from "../../device/processor.ts";
import { encodeNf4Matmul } from "./nf4_matmul.ts";
import { NF4_CODEBOOK } from "../../../shared/checkpoint/nf4/codebook.ts";
import { type Nf4Arrays, nf4DecodeCpu } from "./nf4_matmul_cpu.ts";

type Shape = readonly [m: number, rows: number, columns: number];

/** Columns that are and are not multiples of 64 and 8, odd totals, several tiles. */
const SHAPES: readonly Shape[] = [
  [1, 1, 1],
  [3, 5, 17],
  [17, 65, 64],
  [5, 130, 72],
  [70, 70, 130],
  [65, 257, 192],
  [130, 64, 257],
];

/** A weight of random codes; large ones have more than 256 blocks, so that nested scales differ. */
function randomWeight(prng: Prng, rows: number, columns: number, doubleQuantized: boolean): Nf4Arrays {
  const blocks = Math.ceil(rows * columns / 64);
  const bytes = (count: number) => Uint8Array.from({ length: count }, () => prng.below(256));
  return {
    rows,
    columns,
    codes: bytes(Math.ceil(rows * columns / 2)),
    absmax: doubleQuantized ? bytes(blocks) : randomNormal(prng, blocks).map(Math.abs),
    doubleQuantized,
    nestedAbsmax: randomNormal(prng, Math.ceil(blocks / 256)).map(Math.abs),
    nestedOffset: Math.fround(0.7),
    dynamicMap: randomNormal(prng, 256).map(Math.tanh),
  };
}

interface Variation {
  readonly layout: "nt" | "nn";
  readonly doubleQuantized: boolean;
  /** With a bias, and accumulated. */
  readonly extras?: boolean;
  readonly processor?: { readonly name: string; readonly processor: Processor };
}

async function check([m, rows, columns]: Shape, variation: Variation): Promise<void> {
  const { layout, doubleQuantized, extras = false, processor } = variation;
  const label = `nf4_matmul ${m}×${rows}×${columns} ${JSON.stringify(variation)}`;
  const prng = testPrng(label);
  const [n, k] = layout === "nt" ? [rows, columns] : [columns, rows];
  const weight = randomWeight(prng, rows, columns, doubleQuantized);
  const [a, bias, before] = [m * k, n, m * n].map((count) => randomNormal(prng, count));
  const expected = matmulCpu({
    a: a!,
    b: nf4DecodeCpu(weight),
    m,
    n,
    k,
    layout,
    bias: extras ? bias : undefined,
    before: extras ? before : undefined,
  });
  await checkKernel({
    label,
    inputs: {
      a: a!,
      bias: bias!,
      codes: weight.codes,
      absmax: weight.absmax,
      nestedAbsmax: weight.nestedAbsmax,
      dynamicMap: weight.dynamicMap,
    },
    initial: extras ? { out: before! } : {},
    expected: { out: expected },
    encode: (pass, t) =>
      encodeNf4Matmul(pass, {
        a: t.a,
        weight: { ...weight, ...t },
        out: t.out,
        m,
        layout,
        accumulate: extras,
        ...(extras ? { bias: t.bias } : {}),
        ...(processor ? { tile: chooseTile({ m, n, k }, processor.processor) } : {}),
      }),
    // A decoded element, itself a product and a sum, carries three more roundings.
    tolerance: f32Tolerance(4 * k, Math.sqrt(k) + 4),
  });
}

for (const layout of ["nt", "nn"] as const) {
  for (const doubleQuantized of [false, true]) {
    Deno.test(`nf4_matmul ${layout} agrees with its reference, double quantisation ${doubleQuantized}`, async () => {
      for (const shape of SHAPES) await check(shape, { layout, doubleQuantized });
    });
  }

  Deno.test(`nf4_matmul ${layout} with a bias, accumulated, agrees with its reference`, async () => {
    await check([70, 70, 130], { layout, doubleQuantized: true, extras: true });
    await check([40, 128, 192], { layout, doubleQuantized: false, extras: true });
  });

  Deno.test(`nf4_matmul ${layout} agrees with its reference in other processors' tiles`, async () => {
    for (const processor of otherProcessors(await testGpu())) {
      for (const shape of [[33, 72, 136], [40, 128, 320], [35, 67, 65]] as const) {
        await check(shape, { layout, doubleQuantized: true, processor });
      }
    }
  });
}

Deno.test("nf4_matmul decodes each of the 16 codes", async () => {
  // All codes in ascending order: byte i holds element 2i in its high nibble, so the weight is the codebook itself.
  const codes = Uint8Array.from({ length: 8 }, (_, i) => (2 * i) << 4 | (2 * i + 1));
  const one = Float32Array.of(1);
  await checkKernel({
    label: "nf4_matmul of the codebook",
    inputs: { a: one, codes, absmax: Float32Array.of(2), rest: one },
    expected: { out: NF4_CODEBOOK.map((value) => 2 * value) },
    encode: (pass, t) =>
      encodeNf4Matmul(pass, {
        a: t.a,
        weight: {
          rows: 16,
          columns: 1,
          codes: t.codes,
          absmax: t.absmax,
          doubleQuantized: false,
          nestedAbsmax: t.rest,
          nestedOffset: 0,
          dynamicMap: t.rest,
        },
        out: t.out,
        m: 1,
        layout: "nt",
      }),
    tolerance: 0,
  });
});
