/** Products of matrices, with a weight in f32 and in NF4. */
import { defineKernel } from "../../../worker/device/kernel.ts";
import type { GpuTensor } from "../../../worker/device/tensor.ts";
import { encodeMatmul, type MatmulLayout } from "../../../worker/kernels/matmul/matmul.ts";
import { encodeNf4Matmul, type Nf4GpuWeight } from "../../../worker/kernels/matmul/nf4_matmul.ts";
import { dequantizeNf4 } from "../../../shared/checkpoint/nf4/nf4.ts";
import { quantizeNf4 } from "../../../shared/checkpoint/nf4/nf4_quantise.ts";
import { DYNAMIC_MAP } from "../../../shared/checkpoint/nf4/nf4_absmax.ts";
import type { BenchCase } from "./bench_case.ts";
import type { GpuLab } from "./gpu_lab.ts";
import naiveSource from "./naive/matmul.wgsl" with { type: "text" };

interface Shape {
  readonly name: string;
  readonly layout: MatmulLayout;
  readonly m: number;
  readonly n: number;
  readonly k: number;
}

const SHAPES: readonly Shape[] = [
  { name: "cube", layout: "nt", m: 1024, n: 1024, k: 1024 },
  { name: "cube", layout: "nn", m: 512, n: 512, k: 512 },
  { name: "demo q_proj", layout: "nt", m: 300, n: 128, k: 128 },
  { name: "demo up_proj", layout: "nt", m: 300, n: 384, k: 128 },
  { name: "demo down_proj", layout: "nt", m: 300, n: 128, k: 384 },
  { name: "demo up_proj backward", layout: "nn", m: 300, n: 128, k: 384 },
  { name: "demo LoRA A", layout: "nt", m: 300, n: 8, k: 128 },
  { name: "demo LoRA B", layout: "nt", m: 300, n: 128, k: 8 },
  { name: "demo LoRA dA", layout: "tn", m: 8, n: 128, k: 300 },
  { name: "demo LoRA dB", layout: "tn", m: 128, n: 8, k: 300 },
  { name: "generation", layout: "nt", m: 1, n: 384, k: 128 },
  { name: "7B q_proj, 32 tokens", layout: "nt", m: 32, n: 4096, k: 4096 },
  { name: "7B q_proj backward", layout: "nn", m: 32, n: 4096, k: 4096 },
  { name: "7B LoRA dA, r 64", layout: "tn", m: 64, n: 4096, k: 256 },
];

const naiveOf = (aAlongK: boolean, bAlongK: boolean) =>
  defineKernel({
    label: "naive_matmul",
    source: naiveSource,
    params: { m: "u32", n: "u32", k: "u32" },
    bindings: { a: "read f32", b: "read f32", out: "read_write f32" },
    constants: { A_ALONG_K: aAlongK, B_ALONG_K: bAlongK },
  });

/** A case of `encode`, which must write a · b to `out`. */
function caseOf(
  lab: GpuLab,
  shape: Shape,
  { a, b }: { readonly a: GpuTensor; readonly b: GpuTensor },
  encode: (out: GpuTensor) => void,
): BenchCase {
  const { name, layout, m, n, k } = shape;
  const naive = naiveOf(layout !== "tn", layout === "nt");
  const [expected, out] = [lab.zeros(m * n), lab.zeros(m * n)];
  const groups = [Math.ceil(n / 8), Math.ceil(m / 8)] as const;
  return {
    label: `${name}, ${layout} ${m}×${n}×${k}`,
    naive: () => lab.pass.dispatch(naive, { m, n, k, a, b, out: expected }, groups),
    ours: () => encode(out),
    outputs: () => lab.readBoth(expected, out),
    cost: { amount: 2 * m * n * k, unit: "FLOP" },
  };
}

export function* matmulCases(lab: GpuLab): Generator<BenchCase> {
  for (const shape of SHAPES) {
    const { layout, m, n, k } = shape;
    const [a, b] = [lab.floats(m * k), lab.floats(n * k)];
    yield caseOf(lab, shape, { a, b }, (out) => encodeMatmul(lab.pass, { a, b, out, m, n, k, layout }));
  }
}

/** The naive kernel multiplies with the weight decoded to f32. */
export function* nf4MatmulCases(lab: GpuLab): Generator<BenchCase> {
  for (const shape of SHAPES) {
    const { layout, m, n, k } = shape;
    if (layout === "tn") continue;
    const [rows, columns] = layout === "nt" ? [n, k] : [k, n];
    const quantized = quantizeNf4(lab.random(rows * columns), { rows, columns, doubleQuantization: true });
    const weight: Nf4GpuWeight = {
      rows,
      columns,
      codes: lab.upload(quantized.codes),
      absmax: lab.upload(quantized.absmaxCodes!),
      doubleQuantized: true,
      nestedAbsmax: lab.upload(quantized.nestedAbsmax!),
      nestedOffset: quantized.nestedOffset,
      dynamicMap: lab.upload(DYNAMIC_MAP),
    };
    const [a, b] = [lab.floats(m * k), lab.upload(dequantizeNf4(quantized))];
    yield caseOf(lab, shape, { a, b }, (out) => encodeNf4Matmul(lab.pass, { a, weight, out, m, layout }));
  }
}
