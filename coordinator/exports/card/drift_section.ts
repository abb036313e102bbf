/** The model card's section on how far the merged model is from the trained one. */
import type { Drift } from "../../../shared/protocol/messages_measure.ts";

const TITLE = "## How close it is to the trained model";

/** Adds the section at the end of a card, in place of an earlier one. */
export function withDrift(card: string, drift: Drift): string {
  return withSection(card, section(drift));
}

/** The same for a merge without numbers. */
export function withoutDrift(card: string, reason: string): string {
  return withSection(card, `${TITLE}\n\nNot measured: ${reason}.`);
}

function withSection(card: string, text: string): string {
  const start = card.indexOf(TITLE);
  return `${(start === -1 ? card : card.slice(0, start)).trimEnd()}\n\n${text}\n`;
}

function section(drift: Drift): string {
  const percent = (share: number) => `${(100 * share).toFixed(1)}%`;
  const base = drift.exact_match_base;
  const rows: readonly (readonly [string, string])[] = [
    ...base === undefined ? [] : [["rows answered exactly by the base model", percent(base)] as const],
    ["rows answered exactly by the trained model", percent(drift.exact_match_trained)],
    ["rows answered exactly by this model", percent(drift.exact_match_merged)],
    ["rows with the same greedy answer", percent(drift.same_rows)],
    ["tokens with the same most likely choice", percent(drift.top1_agreement)],
    ["difference of a logit, mean", drift.logit_mean_abs.toPrecision(3)],
    ["difference of a logit, largest", drift.logit_max_abs.toPrecision(3)],
    ["Kullback-Leibler divergence per token, mean", drift.kl_mean.toPrecision(3)],
  ];
  return [
    TITLE,
    "",
    `On ${rowsOf(drift)} with ${drift.tokens} labels, against the NF4 base with the adapter beside it:`,
    "",
    ...["| | |", "| --- | --- |"],
    ...rows.map(([name, value]) => `| ${name} | ${value} |`),
  ].join("\n");
}

/** `37 of 200 validation rows`. */
export function rowsOf(
  { rows, rows_available: available = rows, rows_of: of = "validation" }: Drift,
): string {
  return rows < available ? `${rows} of ${available} ${of} rows` : `${rows} ${of} rows`;
}
