/** How much of what a kernel issues is multiply–adds: counted in the ISA that RADV makes of it (docs/benchmarks/isa.txt). */
import type { RecordedDispatch } from "../fake_gpu/recorded.ts";

const SHARES: Readonly<Record<string, number>> = { nf4_matmul: 0.62, matmul: 0.7, attention_tile: 0.6 };

export function fmaShareOf({ kernel }: Pick<RecordedDispatch, "kernel">): number {
  return SHARES[kernel.replace(/_d(q|kv)$/, "")] ?? 0.3;
}
