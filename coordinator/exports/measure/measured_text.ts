/** A measurement in one line, for events. */
import type { Drift } from "../../../shared/protocol/messages_measure.ts";
import { rowsOf } from "../card/drift_section.ts";

export function measuredText(drift: Drift): string {
  const percent = (share: number) => `${(100 * share).toFixed(1)}%`;
  const shares = [
    ...drift.exact_match_base === undefined ? [] : [["base", drift.exact_match_base] as const],
    ["trained", drift.exact_match_trained] as const,
    ["merged", drift.exact_match_merged] as const,
  ].map(([name, share]) => `${name} ${percent(share)}`);
  const divergence = drift.kl_mean.toPrecision(3);
  return `on ${rowsOf(drift)}, exact match ${
    shares.join(", ")
  }; Kullback-Leibler divergence ${divergence} per token`;
}
