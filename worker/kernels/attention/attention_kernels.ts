/**
 * Attention's kernels. Narrow heads lie in registers, a few queries or keys per invocation (rows_*.wgsl); wide ones pass
 * through workgroup memory in tiles (tile*.wgsl).
 */
import { defineKernel } from "../../device/kernel.ts";
import type { Processor } from "../../device/processor.ts";
import { tanhSource } from "../elementwise/tanh.ts";
import type { AttentionFamily } from "./family.ts";
import { loadRows, rowBinding, storeRows } from "./row_access.ts";
import { rowsFamily } from "./rows_family.ts";
import { tileFamily } from "./tile_family.ts";

/**
 * - `rows on a CPU`: several rows per invocation, because a driver that computes on the CPU takes loads one by one, and its
 *   registers spill into the first-level cache at little cost.
 * - `rows on a GPU`: as many as fit in a GPU's registers. Neighbouring invocations read the same key.
 * - `tiles`: for any head; for wide ones the only kernels that compile in reasonable time.
 */
export type AttentionVariant = "rows on a CPU" | "rows on a GPU" | "tiles";

/** The fastest variant by measurement: docs/benchmarks. */
export function chooseAttention(headDim: number, processor: Processor): AttentionVariant {
  if (processor.isCpu) return headDim <= 64 ? "rows on a CPU" : "tiles";
  return headDim <= 32 ? "rows on a GPU" : "tiles";
}

export type AttentionKernels = ReturnType<typeof makeKernels>;

const madeKernels = new Map<string, AttentionKernels>();

/** The kernels of a variant for one head size and soft cap, and their grids; made once. */
export function attentionKernels(
  headDim: number,
  variant: AttentionVariant,
  softCap: number | null,
): AttentionKernels {
  return madeKernels.getOrInsertComputed(
    `${variant} ${headDim} ${softCap}`,
    () => makeKernels(headDim, familyOf(headDim, variant), softCap),
  );
}

function familyOf(headDim: number, variant: AttentionVariant): AttentionFamily {
  switch (variant) {
    case "rows on a CPU":
      return rowsFamily({ forwardRows: 4, backwardRows: 2, headsInside: true });
    case "rows on a GPU":
      return rowsFamily({ forwardRows: 2, backwardRows: 1, headsInside: false });
    case "tiles":
      return tileFamily(headDim);
  }
}

function makeKernels(headDim: number, family: AttentionFamily, softCap: number | null) {
  const { label } = family;
  const tanh = softCap === null ? "" : tanhSource(family.scoreType);
  const read = rowBinding("read", headDim);
  const write = rowBinding("read_write", headDim);
  const [f32, u32] = ["read f32", "read u32"] as const;
  const qkv = { q: read, k: read, v: read };
  const loads = (...names: string[]) => names.map((name) => loadRows(name, headDim)).join("");
  const stores = (...names: string[]) => names.map((name) => storeRows(name, headDim)).join("");
  const sizes = { headCount: "u32", kvHeadCount: "u32", scale: "f32" } as const;
  const constants = { HEAD_DIM: headDim, HEAD_DIM4: Math.ceil(headDim / 4), SOFT_CAP: softCap ?? 0 };
  return {
    forward: defineKernel({
      label,
      source: loads("q", "k", "v") + stores("out") + tanh + family.forward,
      params: { queryCount: "u32", ...sizes },
      bindings: { ...qkv, keyStarts: u32, keyEnds: u32, out: write, lse: "read_write f32" },
      constants: { ...constants, ...family.forwardConstants },
    }),
    dq: defineKernel({
      label: `${label}_dq`,
      source: loads("q", "k", "v", "out", "dOut") + stores("dq") + tanh + family.dq,
      params: { tokenCount: "u32", ...sizes },
      bindings: {
        ...qkv,
        out: read,
        dOut: read,
        lse: f32,
        keyStarts: u32,
        dq: write,
        delta: "read_write f32",
      },
      constants: { ...constants, ...family.backwardConstants },
    }),
    dkv: defineKernel({
      label: `${label}_dkv`,
      source: loads("q", "k", "v", "dOut") + stores("dk", "dv") + tanh + family.dkv,
      params: { tokenCount: "u32", ...sizes },
      // The outputs come first: if two pipelines share a layout, wgpu checks the buffers of the second dispatch against
      // the minimum sizes of the first one's, and refuses an lse of fewer than 16 bytes in the place of dq's vec4.
      bindings: { dk: write, dv: write, ...qkv, dOut: read, lse: f32, delta: f32, queryEnds: u32 },
      constants: { ...constants, ...family.backwardConstants },
    }),
    forwardGroups: family.forwardGroups,
    backwardGroups: family.backwardGroups,
  };
}
