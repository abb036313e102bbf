/** The longest document whose attention is computed exactly: limited by dynamic RoPE. */
import type { TransformerSpec } from "../transformer_spec.ts";

interface PositionLimit {
  /** The field of config.json that sets the limit. */
  readonly field: "max_position_embeddings";
  readonly positions: number;
  readonly reason: string;
}

/**
 * The limit that `positions` exceeds, or null.
 * @param positions the highest position + 1
 */
export function exceededLimit(spec: TransformerSpec, positions: number): PositionLimit | null {
  const { ropes, maxPositionEmbeddings } = spec;
  const isDynamic = ropes.some(({ scaling }) => scaling?.kind === "dynamic");
  if (!isDynamic || positions <= maxPositionEmbeddings) return null;
  return {
    field: "max_position_embeddings",
    positions: maxPositionEmbeddings,
    reason:
      "beyond it dynamic RoPE depends on the other rows of a batch and on earlier batches, which is not supported",
  };
}
