/** How much of what a kernel issues is multiply–adds: counted in the ISA that RADV makes of it (docs/benchmarks/isa.txt). */
import type { RecordedDispatch } from "../fake_gpu/recorded.ts";
import shares from "./fma_shares.json" with { type: "json" };

const SHARES: Readonly<Record<string, number>> = shares;

/** Kernels that were not compiled: bound by memory as a rule, so that it matters little. */
const UNKNOWN = 0.3;

/** Whether a kernel consists of multiply–adds for the most part. */
export function isProduct({ kernel }: Pick<RecordedDispatch, "kernel">): boolean {
  return /matmul$|^attention/.test(kernel);
}

/** Names what decides the loops: "nf4_matmul 128×64 nt", "attention_tile_dq 128". Products that are added have a short k. */
export function shareKey({ kernel, constants }: Pick<RecordedDispatch, "kernel" | "constants">): string {
  const { TILE_M, TILE_N, SPLIT = 1, A_ALONG_K, B_ALONG_K, HEAD_DIM, ACCUMULATE, HALF } = constants;
  if (HEAD_DIM !== undefined) return `${kernel} ${HEAD_DIM}`;
  if (TILE_M === undefined) return kernel;
  const layout = `${A_ALONG_K ? "n" : "t"}${B_ALONG_K ? "t" : "n"}`;
  return `${kernel} ${TILE_M}×${TILE_N}${SPLIT > 1 ? `÷${SPLIT}` : ""} ${layout}${HALF ? " half" : ""}${
    ACCUMULATE ? " +=" : ""
  }`;
}

/** By the variant; else the least of the same kernel; else `UNKNOWN`. */
export function fmaShareOf(dispatch: Pick<RecordedDispatch, "kernel" | "constants">): number {
  const known = SHARES[shareKey(dispatch)];
  if (known !== undefined) return known;
  const related = Object.keys(SHARES).filter((key) => key.split(" ")[0] === dispatch.kernel);
  return related.reduce((least, key) => Math.min(least, SHARES[key]!), related.length === 0 ? UNKNOWN : 1);
}

/** Variants among some dispatches that do products although their share was never measured: predictions guess it. */
export function guessedShares(
  dispatches: readonly Pick<RecordedDispatch, "kernel" | "constants">[],
): string[] {
  const keys = new Set(dispatches.filter(isProduct).map(shareKey));
  return [...keys].filter((key) => !(key in SHARES)).toSorted();
}
