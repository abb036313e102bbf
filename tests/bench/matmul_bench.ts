/**
 * Products of matrices: a naive kernel, ours in f32, ours with an NF4 weight, in one run, as a table of medians and ratios.
 *
 *     deno task bench
 *     deno run -A --unstable-webgpu --no-lock tests/bench/matmul_bench.ts --jax     also jax-js, fetched for the run
 *
 * Ratios compare within a run; absolute times depend on the machine and on what else it does.
 */
import { pcg32 } from "../../shared/prng.ts";
import { Gpu } from "../../worker/device/gpu.ts";
import { defineKernel } from "../../worker/device/kernel.ts";
import type { GpuTensor } from "../../worker/device/tensor.ts";
import { encodeMatmul, type MatmulLayout } from "../../worker/kernels/matmul/matmul.ts";
import { encodeNf4Matmul, type Nf4GpuWeight } from "../../worker/kernels/matmul/nf4_matmul.ts";
import naiveSource from "./naive_matmul.wgsl" with { type: "text" };
import { exitWithHelp } from "../head_help.ts";

exitWithHelp(import.meta.url);

interface Case {
  readonly name: string;
  readonly layout: MatmulLayout;
  readonly m: number;
  readonly n: number;
  readonly k: number;
}

const CASES: readonly Case[] = [
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

const gpu = await Gpu.open({ allowCpu: true });
const prng = pcg32(1);
const nothing = gpu.allocate("nothing", 4);
const floats = (count: number) =>
  gpu.upload("f32", Float32Array.from({ length: count }, () => prng.uniform() - 0.5));
const words = (count: number) => gpu.upload("u32", Uint32Array.from({ length: count }, () => prng.uint32()));

const naive = (aAlongK: boolean, bAlongK: boolean) =>
  defineKernel({
    label: "naive_matmul",
    source: naiveSource,
    params: { m: "u32", n: "u32", k: "u32" },
    bindings: { a: "read f32", b: "read f32", out: "read_write f32" },
    constants: { A_ALONG_K: aAlongK, B_ALONG_K: bAlongK },
  });

/** A weight of random codes, doubly quantised. */
function randomWeight(rows: number, columns: number): Nf4GpuWeight {
  const blocks = Math.ceil(rows * columns / 64);
  return {
    rows,
    columns,
    codes: words(Math.ceil(rows * columns / 8)),
    absmax: words(Math.ceil(blocks / 4)),
    doubleQuantized: true,
    nestedAbsmax: floats(Math.ceil(blocks / 256)),
    nestedOffset: 0.5,
    dynamicMap: floats(256),
  };
}

async function elapsedMs(work: () => void, repetitions: number): Promise<number> {
  const start = performance.now();
  for (let i = 0; i < repetitions; i++) work();
  await gpu.read(nothing);
  return performance.now() - start;
}

const median = (values: readonly number[]) => values.toSorted((x, y) => x - y)[values.length >> 1]!;

/** Medians of several rounds, in which the candidates take turns, so that a busy moment hits all of them. */
async function compare(candidates: readonly (() => void)[]): Promise<number[]> {
  const idle: number[] = [];
  for (let i = 0; i < 5; i++) idle.push(await elapsedMs(() => {}, 0));
  const idleMs = median(idle);
  const repetitions: number[] = [];
  for (const work of candidates) {
    await elapsedMs(work, 1); // compiles
    const onceMs = await elapsedMs(work, 1) - idleMs;
    repetitions.push(Math.max(1, Math.min(200, Math.round(30 / Math.max(onceMs, 0.1)))));
  }
  const rounds: number[][] = candidates.map(() => []);
  for (let round = 0; round < 3; round++) {
    for (const [i, work] of candidates.entries()) {
      rounds[i]!.push((await elapsedMs(work, repetitions[i]!) - idleMs) / repetitions[i]!);
    }
  }
  return rounds.map(median);
}

/** The part of jax-js that is used here. */
interface JaxArray {
  readonly ref: JaxArray;
  data(): Promise<unknown>;
}
interface Jax {
  init(): Promise<readonly string[]>;
  defaultDevice(device: string): void;
  readonly numpy: {
    ones(shape: readonly number[]): JaxArray;
    matmul(a: JaxArray, b: JaxArray): JaxArray;
  };
}

/** Median time of jax-js for a product of two cubes, its readback included. */
async function jaxMs(size: number): Promise<number> {
  const specifier = "npm:@jax-js/jax@0.1.25"; // not a literal in the import: the lock file need not hold it
  const jax: Jax = await import(specifier);
  await jax.init();
  jax.defaultDevice("webgpu");
  const [a, b] = [jax.numpy.ones([size, size]), jax.numpy.ones([size, size])];
  const times: number[] = [];
  for (let i = 0; i < 4; i++) {
    const start = performance.now();
    await jax.numpy.matmul(a.ref, b.ref).data();
    times.push(performance.now() - start);
  }
  return median(times.slice(1));
}

const columns = ["shape", "", "naive ms", "f32 ms", "GFLOP/s", "× naive", "NF4 ms", "GFLOP/s", "× naive"];
const widths = [22, 20, 10, 9, 8, 8, 9, 8, 8];
const line = (cells: readonly string[]) =>
  cells.map((cell, i) => i < 2 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!)).join(" ");

console.log(`${gpu.description}\n${line(columns)}`);
for (const { name, layout, m, n, k } of CASES) {
  const tensors: Record<"a" | "b" | "out", GpuTensor> = {
    a: floats(m * k),
    b: floats(n * k),
    out: gpu.allocate("out", m * n * 4),
  };
  const naiveKernel = naive(layout !== "tn", layout === "nt");
  const candidates = [
    () =>
      gpu.pass.dispatch(naiveKernel, {
        params: { m, n, k },
        tensors,
        groups: [Math.ceil(n / 8), Math.ceil(m / 8)],
      }),
    () => encodeMatmul(gpu.pass, { ...tensors, m, n, k, layout }),
  ];
  if (layout !== "tn") {
    const weight = layout === "nt" ? randomWeight(n, k) : randomWeight(k, n);
    candidates.push(() => encodeNf4Matmul(gpu.pass, { a: tensors.a, weight, out: tensors.out, m, layout }));
  }
  const [naiveMs, ...oursMs] = await compare(candidates);
  const gflops = (ms: number) => (2 * m * n * k / ms / 1e6).toFixed(1);
  console.log(line([
    name,
    `${layout} ${m}×${n}×${k}`,
    naiveMs!.toFixed(3),
    ...oursMs.flatMap((ms) => [ms.toFixed(3), gflops(ms), (naiveMs! / ms).toFixed(1)]),
  ]));
}
if (Deno.args.includes("--jax")) {
  const ms = await jaxMs(1024);
  console.log(
    `jax-js, nn 1024×1024×1024, with readback: ${ms.toFixed(1)} ms, ${(2.147 / ms * 1e3).toFixed(1)} GFLOP/s`,
  );
}
gpu.close();
Deno.exit(0); // jax-js keeps its device open
