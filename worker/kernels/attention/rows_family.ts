/** Narrow heads: an invocation keeps a few queries or keys in registers. */
import type { AttentionFamily, AttentionGrid } from "./family.ts";
import forward from "./rows_forward.wgsl" with { type: "text" };
import dkv from "./rows_dkv.wgsl" with { type: "text" };
import dq from "./rows_dq.wgsl" with { type: "text" };

/** Invocations of a workgroup. */
const LANES = 32;

/**
 * @param options.forwardRows queries of an invocation in the forward
 * @param options.backwardRows queries, or keys, in the backward, which needs twice the registers per row
 * @param options.headsInside neighbouring invocations have neighbouring heads instead of neighbouring rows
 */
export function rowsFamily(options: {
  readonly forwardRows: number;
  readonly backwardRows: number;
  readonly headsInside: boolean;
}): AttentionFamily {
  const { forwardRows, backwardRows, headsInside } = options;
  const constants = { LANES, HEADS_INSIDE: headsInside };
  const groups = (rows: number): AttentionGrid => (rowCount, headCount) => [
    Math.ceil(Math.ceil(rowCount / rows) * headCount / LANES),
  ];
  return {
    label: "attention_rows",
    scoreType: "f32",
    forward,
    dq,
    dkv,
    forwardConstants: { ...constants, QUERIES: forwardRows },
    backwardConstants: { ...constants, QUERIES: backwardRows, KEYS: backwardRows },
    forwardGroups: groups(forwardRows),
    backwardGroups: groups(backwardRows),
  };
}
