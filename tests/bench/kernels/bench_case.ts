/** A timed case: our kernel beside a naive one on the same inputs. */
import type { GpuLab } from "./gpu_lab.ts";

export interface BenchCase {
  /** Names the sizes. */
  readonly label: string;
  /** Runs once; a GPU's work is only recorded. */
  readonly naive: () => void;
  readonly ours: () => void;
  /** The results after one run of each. Kernels that disagree are not timed. */
  readonly outputs: () => Promise<{ readonly naive: Float32Array; readonly ours: Float32Array }>;
  /** The cost of one run, for a rate: floating-point operations, or bytes read and written. */
  readonly cost: { readonly amount: number; readonly unit: "FLOP" | "B" };
}

/** One entry of the catalogue. Cases are made one at a time, so that only one holds memory. */
export type KernelBench =
  & { readonly name: string; readonly summary: string }
  & (
    | { readonly on: "gpu"; readonly cases: (lab: GpuLab) => Iterable<BenchCase> }
    | { readonly on: "cpu"; readonly cases: () => Iterable<BenchCase> }
  );
