import { assertEquals } from "@std/assert";
import { checkKernel, f32Tolerance, randomNormal, testGpu, testPrng } from "./kernel_contract.ts";
import { encodeMatmul, type MatmulLayout } from "./matmul.ts";
import { matmulCpu } from "./matmul_cpu.ts";

const LAYOUTS: readonly MatmulLayout[] = ["nt", "nn", "tn"];

/** [m, n, k]: single elements, vectors, LoRA's narrow sides, tails of every tile, several tiles along each side. */
const SHAPES = [
  [1, 1, 1],
  [3, 1, 17],
  [1, 130, 65],
  [17, 3, 257],
  [65, 8, 128],
  [130, 257, 8],
  [8, 130, 300],
  [64, 64, 64],
  [130, 65, 33],
  [129, 132, 36],
] as const;

const VARIATIONS = [
  { name: "" },
  { name: "with alpha, added to what is there", alpha: 0.25, accumulate: true },
  { name: "with a bias", withBias: true },
] as const;

async function check(layout: MatmulLayout, shape: readonly [number, number, number], variation: {
  readonly name: string;
  readonly alpha?: number;
  readonly accumulate?: boolean;
  readonly withBias?: boolean;
}): Promise<void> {
  const [m, n, k] = shape;
  const { name, alpha = 1, accumulate = false, withBias = false } = variation;
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
      }),
    tolerance: f32Tolerance(k, Math.sqrt(k) + 4),
  });
}

for (const layout of LAYOUTS) {
  for (const variation of VARIATIONS) {
    Deno.test(`matmul ${layout} agrees with its reference ${variation.name}`, async () => {
      for (const shape of SHAPES) await check(layout, shape, variation);
    });
  }
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
