/** LongRoPE has two sets of frequencies: the length of a token's document decides which one turns it. */
import type { TransformerSpec } from "../transformer_spec.ts";

/**
 * The length up to which documents take the short factors; null if all documents of up to `positions` tokens do. Tables of
 * cosines and sines then have the rows of short documents first, and those of long documents from this row on.
 */
export function longRopeStart({ ropes }: Pick<TransformerSpec, "ropes">, positions: number): number | null {
  for (const { scaling } of ropes) {
    if (scaling?.kind === "longrope" && scaling.originalMaxPositions < positions) {
      return scaling.originalMaxPositions;
    }
  }
  return null;
}

/** The row of the tables for a position in a document of `length` tokens. */
export function ropeRow(position: number, length: number, longStart: number | null): number {
  return longStart !== null && length > longStart ? longStart + position : position;
}

/** Rows of the tables for documents of up to `positions` tokens. */
export function ropeTableRows(positions: number, longStart: number | null): number {
  return longStart === null ? positions : longStart + positions;
}
