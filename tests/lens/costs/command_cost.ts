/** The table of formulas: every kernel has one. */
import type { RecordedCommand } from "../fake_gpu/recorded.ts";
import { ATTENTION_COSTS } from "./attention.ts";
import { ELEMENTWISE_COSTS } from "./elementwise.ts";
import type { CostOf, KernelCost } from "./kernel_cost.ts";
import { matmulCost, nf4MatmulCost } from "./matmul.ts";
import { VOCABULARY_COSTS } from "./vocabulary.ts";

export const KERNEL_COSTS: Readonly<Record<string, CostOf>> = {
  nf4_matmul: nf4MatmulCost,
  matmul: matmulCost,
  ...ATTENTION_COSTS,
  ...ELEMENTWISE_COSTS,
  ...VOCABULARY_COSTS,
};

export const MOVES = "copies and clears";

/** @throws RangeError for a kernel without a formula */
export function costOf(command: RecordedCommand): KernelCost {
  if (command.kind !== "dispatch") {
    const { kind, byteLength: bytes, label } = command;
    return {
      kind: MOVES,
      flops: 0,
      reads: kind === "copy" ? { [label]: bytes } : {},
      writes: { [label]: bytes },
    };
  }
  const formula = KERNEL_COSTS[command.kernel];
  if (formula !== undefined) return formula(command);
  throw new RangeError(
    `Counting the work of kernel "${command.kernel}" failed: tests/lens/costs has no formula for it. ` +
      "Add one beside those of its kind.",
  );
}

/** Bytes that a command moves. */
export function bytesOf({ reads, writes }: Pick<KernelCost, "reads" | "writes">): number {
  return [reads, writes].flatMap(Object.values).reduce((sum: number, bytes: number) => sum + bytes, 0);
}
