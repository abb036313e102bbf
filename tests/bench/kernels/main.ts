/**
 * Kernels beside naive ones of the same inputs, in one run: medians and their ratio.
 *
 *     deno task bench                    lists the kernels
 *     deno task bench matmul rope        benches these
 *     deno task bench all                benches all
 *
 * Ratios compare within a run; absolute times depend on the machine and its load. A kernel whose result differs
 * from the naive one's is an error.
 */
import { LoraFleetError } from "../../../shared/errors.ts";
import { exitWithHelp } from "../../documents/head_help.ts";
import { selectKernels } from "./arguments.ts";
import type { BenchCase, KernelBench } from "./bench_case.ts";
import { CATALOGUE } from "./catalogue.ts";
import { GpuLab } from "./gpu_lab.ts";
import { compareTimes } from "./timing.ts";

exitWithHelp(import.meta.url);

const LABEL_WIDTH = 52;
const COLUMNS = ["naive ms", "ours ms", "× naive", "rate"];
const COLUMN_WIDTHS = [11, 11, 10, 15];

const line = (label: string, cells: readonly string[]) =>
  label.padEnd(LABEL_WIDTH) + cells.map((cell, i) => cell.padStart(COLUMN_WIDTHS[i]!)).join("");

/** The largest difference of two results, in units of their root mean square. */
function disagreement(naive: Float32Array, ours: Float32Array): number {
  let [largest, squares] = [0, 0];
  for (let i = 0; i < naive.length; i++) {
    largest = Math.max(largest, Math.abs(naive[i]! - ours[i]!));
    squares += naive[i]! ** 2;
  }
  return largest / Math.sqrt(squares / naive.length);
}

/** f32 sums of some thousand terms in two different orders agree far better than this. */
const MAX_DISAGREEMENT = 1e-3;

async function benchCase(
  kernel: string,
  { label, naive, ours, outputs, cost }: BenchCase,
  finish: () => Promise<void>,
) {
  naive();
  ours();
  const results = await outputs();
  const difference = disagreement(results.naive, results.ours);
  if (!(difference <= MAX_DISAGREEMENT)) {
    throw new LoraFleetError(
      "gpu_failure",
      `Benching ${kernel} (${label}) failed: its result differs from the naive kernel's by ${difference} of its size`,
    );
  }
  const [naiveMs, oursMs] = await compareTimes([naive, ours], finish);
  const rate = `${(cost.amount / oursMs! / 1e6).toFixed(1)} G${cost.unit}/s`;
  console.log(line(label, [naiveMs!.toFixed(3), oursMs!.toFixed(3), (naiveMs! / oursMs!).toFixed(1), rate]));
}

async function bench(kernel: KernelBench): Promise<void> {
  const lab = kernel.on === "gpu" ? await GpuLab.open() : null;
  console.log(`\n${line(`${kernel.name} on ${lab?.description ?? "the CPU"}`, COLUMNS)}`);
  const finish = async () => await lab?.finish();
  for (const each of kernel.on === "gpu" ? kernel.cases(lab!) : kernel.cases()) {
    await benchCase(kernel.name, each, finish);
    lab?.reset();
  }
  lab?.close();
}

async function main(): Promise<void> {
  const selected = selectKernels(Deno.args, CATALOGUE.map(({ name }) => name));
  if (selected.length === 0) {
    console.log("deno task bench KERNEL … or all. The kernels:\n");
    for (const { name, summary } of CATALOGUE) console.log(`  ${name.padEnd(20)}${summary}`);
    return;
  }
  for (const kernel of CATALOGUE) {
    if (selected.includes(kernel.name)) await bench(kernel);
  }
}

try {
  await main();
} catch (thrown) {
  if (!(thrown instanceof LoraFleetError)) throw thrown;
  console.error(thrown.message);
  Deno.exitCode = thrown.code === "usage" ? 2 : 1;
}
