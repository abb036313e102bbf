import { assertEquals } from "@std/assert";
import { checkKernel } from "../testing/kernel_contract.ts";
import { f32Tolerance } from "../testing/tolerance.ts";
import { randomNormal, testPrng } from "../testing/random_inputs.ts";
import { testGpu } from "../../device/testing/test_gpu.ts";
import { encodeMatmul, type MatmulLayout } from "./matmul.ts";
import { matmulCpu } from "./matmul_cpu.ts";
import { chooseTile, type Tile } from "./tile.ts";
import { otherProcessors } from "../testing/other_processors.ts";

const LAYOUTS: readonly MatmulLayout[] = ["nt", "nn", "tn"];

type Shape = readonly [m: number, n: number, k: number];

/** Single elements, vectors, LoRA's narrow sides, the tails of every tile, several tiles along each side. */
const SHAPES: readonly Shape[] = [
  [1, 1, 1],
  [3, 1, 17],
  [1, 130, 65],
  [17, 3, 257],
  [65, 8, 128],
  [130, 257, 8],
  [8, 132, 300],
  [64, 64, 64],
  [130, 65, 33],
  [132, 132, 36],
];

interface Variation {
  readonly name: string;
  readonly alpha?: number;
  readonly accumulate?: boolean;
  readonly withBias?: boolean;
  readonly tile?: Tile;
}

const ADDED: Variation = { name: "with alpha, accumulated", alpha: 0.25, accumulate: true };
const BIASED: Variation = { name: "with a bias", withBias: true };

async function check(layout: MatmulLayout, [m, n, k]: Shape, variation: Variation): Promise<void> {
  const { name, alpha = 1, accumulate = false, withBias = false, tile } = variation;
  const label = `matmul ${layout} ${m}×${n}×${k} ${name}`;
  const prng = testPrng(label);
  const [a, b, bias, before] = [m * k, n * k, n, m * n].map((count) => randomNormal(prng, count));
  const expected = matmulCpu({
    a: a!,
    b: b!,
    m,
    n,
    k,
    layout,
    alpha,
    bias: withBias ? bias : undefined,
    before: accumulate ? before : undefined,
  });
  await checkKernel({
    label,
    inputs: { a: a!, b: b!, bias: bias! },
    initial: accumulate ? { out: before! } : {},
    expected: { out: expected },
    encode: (pass, t) =>
      encodeMatmul(pass, {
        a: t.a,
        b: t.b,
        out: t.out,
        m,
        n,
        k,
        layout,
        alpha,
        accumulate,
        ...(withBias ? { bias: t.bias } : {}),
        ...(tile ? { tile } : {}),
      }),
    tolerance: f32Tolerance(k, Math.sqrt(k) + 4),
  });
}

for (const layout of LAYOUTS) {
  Deno.test(`matmul ${layout} agrees with its reference`, async () => {
    for (const shape of SHAPES) await check(layout, shape, { name: "" });
  });
}

for (const variation of [ADDED, BIASED]) {
  Deno.test(`matmul ${variation.name} agrees with its reference`, async () => {
    await check("nt", [130, 132, 8], variation);
    await check("nn", [65, 67, 35], variation);
    await check("tn", [8, 132, 300], variation);
  });
}

for (const layout of LAYOUTS) {
  Deno.test(`matmul ${layout} agrees with its reference in other processors' tiles`, async () => {
    for (const { name, processor } of otherProcessors(await testGpu())) {
      for (const [m, n, k] of [[65, 68, 36], [67, 67, 33]] as const) {
        await check(layout, [m, n, k], { name, tile: chooseTile({ m, n, k }, processor) });
      }
    }
  });

  Deno.test(`matmul ${layout} agrees with its reference in a GPU's large tiles and long sums`, async () => {
    for (
      const [shape, chosenFor] of [
        [[130, 132, 36], [2048, 2048, 36]],
        [[70, 65, 20], [1024, 1024, 20]],
        [[9, 70, 300], [9, 70, 300]],
        [[65, 5, 259], [65, 5, 259]],
      ] as const
    ) {
      const [m, n, k] = chosenFor;
      const tile = chooseTile({ m, n, k }, { isCpu: false, subgroupSize: 0 });
      await check(layout, shape, { name: `in the tile for ${chosenFor}`, tile });
    }
  });
}

for (const layout of ["nt", "nn"] as const) {
  Deno.test(`matmul ${layout}: a row gives the same bits wherever it lies`, async () => {
    const [m, n, k] = [131, 70, 75];
    const gpu = await testGpu();
    const prng = testPrng(`matmul ${layout} same bits`);
    const [row, b] = [randomNormal(prng, k), randomNormal(prng, n * k)];
    const a = new Float32Array(m * k);
    for (let i = 0; i < m; i++) a.set(row, i * k);
    const tensors = { a: gpu.upload("a", a), b: gpu.upload("b", b), out: gpu.allocate("out", m * n * 4) };
    encodeMatmul(gpu.pass, { ...tensors, m, n, k, layout });
    const out = new Uint32Array(await gpu.read(tensors.out));
    for (let i = 1; i < m; i++) {
      assertEquals(out.subarray(i * n, (i + 1) * n), out.subarray(0, n), `row ${i}`);
    }
    for (const { buffer } of Object.values(tensors)) buffer.destroy();
  });
}
