/** The longest document whose attention is computed exactly: limited by a sliding window or by dynamic RoPE. */
import type { TransformerSpec } from "./transformer_spec.ts";

interface PositionLimit {
  /** The field of config.json that sets the limit. */
  readonly field: "sliding_window" | "max_position_embeddings";
  readonly positions: number;
  readonly reason: string;
}

/**
 * The limit that `positions` exceeds, or null.
 * @param positions the highest position + 1
 */
export function exceededLimit(spec: TransformerSpec, positions: number): PositionLimit | null {
  const limit = positionLimit(spec);
  return limit !== null && positions > limit.positions ? limit : null;
}

function positionLimit(spec: TransformerSpec): PositionLimit | null {
  const { slidingWindow, ropeScaling, maxPositionEmbeddings } = spec;
  const isWithinWindow = slidingWindow === null || maxPositionEmbeddings <= slidingWindow;
  if (ropeScaling?.kind === "dynamic" && isWithinWindow) {
    return {
      field: "max_position_embeddings",
      positions: maxPositionEmbeddings,
      reason: "beyond it dynamic RoPE depends on the other rows of a batch, which is not supported",
    };
  }
  if (slidingWindow === null) return null;
  const reason = "attention within a window is not supported";
  return { field: "sliding_window", positions: slidingWindow, reason };
}
