/** `deno task lens --isa`: what a compiler for a real GPU makes of the step's kernels. */
import { fromFileUrl } from "@std/path";
import type { RecordedDispatch } from "../fake_gpu/recorded.ts";
import type { StepRecord } from "../step.ts";
import { type Compilation, type CompiledKernel, compileKernels } from "./compile.ts";
import { isProduct, shareKey } from "./fma_shares.ts";
import { fmaShare, INSTRUCTION_KINDS } from "./parse_isa.ts";

type Recorded = Pick<StepRecord, "submits">;

/** Each variant once, with the params of its first dispatch. */
export function variantsOf(...records: readonly Recorded[]): RecordedDispatch[] {
  const found = new Map<string, RecordedDispatch>();
  for (const { command } of records.flatMap(({ submits }) => submits.flat())) {
    if (command.kind === "dispatch") found.getOrInsert(command.program.label, command);
  }
  return [...found.values()].toSorted((a, b) => shareKey(a) < shareKey(b) ? -1 : 1);
}

export function compileStep(record: Recorded): Promise<Compilation> {
  return compileKernels(variantsOf(record));
}

/** Writes the shares of multiply–adds that predictions use: of variants with one key, the first record's. */
export async function writeShares(records: readonly Recorded[]): Promise<void> {
  const shares: Record<string, number> = {};
  const { kernels } = await compileKernels(variantsOf(...records).filter(isProduct));
  for (const { dispatch, report } of kernels) {
    shares[shareKey(dispatch)] ??= Number(fmaShare(report).toFixed(3));
  }
  const sorted = Object.fromEntries(Object.entries(shares).toSorted(([a], [b]) => a < b ? -1 : 1));
  const path = fromFileUrl(new URL("fma_shares.json", import.meta.url));
  await Deno.writeTextFile(path, `${JSON.stringify(sorted, null, 2)}\n`);
}

const KERNEL_WIDTH = 34;
const COLUMNS = ["VGPRs", "waves", "LDS", "spilled", "instr.", ...INSTRUCTION_KINDS, "fma share"];

const line = (name: string, cells: readonly string[]) =>
  name.padEnd(KERNEL_WIDTH) + cells.map((cell) => cell.padStart(10)).join("");

export function isaText({ device, kernels }: Compilation): string {
  return [
    `compiled for ${device}; waves are those of one SIMD unit, kinds of instructions in percent of what a wave executes`,
    "",
    line("kernel", COLUMNS),
    ...kernels.map(row),
  ].join("\n");
}

export function isaJson({ device, kernels }: Compilation) {
  const compiled = kernels.map(({ dispatch, report }) => ({
    kernel: nameOf(dispatch),
    variant: dispatch.program.label,
    ...report,
    fma_share: fmaShare(report),
  }));
  return { device, kernels: compiled };
}

function row({ dispatch, report }: CompiledKernel): string {
  const { vgprs, wavesPerSimd, ldsBytes, spilledVgprs, instructions, executed } = report;
  const all = INSTRUCTION_KINDS.reduce((sum, kind) => sum + executed[kind], 0);
  const mix = INSTRUCTION_KINDS.map((kind) => (100 * executed[kind] / all).toFixed(1));
  const numbers = [vgprs, wavesPerSimd, ldsBytes, spilledVgprs, instructions].map(String);
  return line(nameOf(dispatch), [...numbers, ...mix, fmaShare(report).toFixed(2)]);
}

function nameOf(dispatch: RecordedDispatch): string {
  const { ACCUMULATE, BIAS, TILE_M } = dispatch.constants;
  const suffixes = [ACCUMULATE && TILE_M === undefined ? " +=" : "", BIAS ? " bias" : ""];
  return shareKey(dispatch) + suffixes.join("");
}
