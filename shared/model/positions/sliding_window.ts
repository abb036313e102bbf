/** The sliding window in tokens: which part of a document a query of a windowed layer sees. */
import type { TransformerSpec } from "../transformer_spec.ts";

/**
 * The window that shortens documents of up to `positions` tokens; null if none does, since within a longer one each query sees
 * all that it sees without a window.
 */
export function windowWithin(
  { slidingWindow }: Pick<TransformerSpec, "slidingWindow">,
  positions: number,
): number | null {
  return slidingWindow !== null && slidingWindow < positions ? slidingWindow : null;
}

/** The first of the keys [start, end) that a query sees whose own key is the last of them. */
export function windowStart(start: number, end: number, window: number): number {
  return Math.max(start, end - window);
}

/** The end of the queries that see `key`, in a document that ends at `end`. */
export function windowEnd(key: number, end: number, window: number): number {
  return Math.min(end, key + window);
}
