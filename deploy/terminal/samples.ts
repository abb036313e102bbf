/** A table of a few held-out prompts with both models' answers. */
import { z } from "zod";
import { columnsOf, cutTo, padTo } from "./cells.ts";

export const sampleSchema = z.object({ prompt: z.string(), expected: z.string(), answer: z.string() });
export type Sample = z.output<typeof sampleSchema>;

const MAX_CELL = 44;

/**
 * A table of `count` prompts, spread evenly over all of them.
 * @param base and tuned samples of the same prompts in the same order
 */
export function formatSamples(base: readonly Sample[], tuned: readonly Sample[], count: number): string {
  const rows = [["prompt", "expected", "base", "tuned"]];
  const shown = Math.min(count, base.length, tuned.length);
  for (let i = 0; i < shown; i++) {
    const index = Math.floor((i * Math.min(base.length, tuned.length)) / shown);
    const { prompt, expected, answer } = base[index]!;
    rows.push([prompt, expected, answer, tuned[index]!.answer].map(cell));
  }
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => columnsOf(row[column]!))));
  const lines = rows.map((row) =>
    row.map((text, column) => padTo(text, widths[column]!)).join("  ").trimEnd()
  );
  lines.splice(1, 0, widths.map((width) => "-".repeat(width)).join("  "));
  return lines.join("\n");
}

/** One line without control characters, cut to its width. */
function cell(text: string): string {
  // deno-lint-ignore no-control-regex -- a model's answer may contain terminal control sequences
  return cutTo(text.trim().replace(/[\x00-\x1f\x7f-\x9f]+/g, " "), MAX_CELL);
}

/** What an evaluation measures; the loss is null if no row has a token that counts in it. */
interface Measured {
  readonly eval_loss: number | null;
  readonly exact_match: number;
  readonly prompt_count: number;
}

/** One line with both models' losses and shares of exact answers, or why there are none. */
export function formatScores(base: Measured, tuned: Measured): string {
  const percent = (share: number) => `${(100 * share).toFixed(1)} %`;
  const loss = base.eval_loss === null || tuned.eval_loss === null
    ? "no loss, since no row has a token that counts in it"
    : `loss: base ${base.eval_loss.toFixed(4)}, tuned ${tuned.eval_loss.toFixed(4)}`;
  const match = tuned.prompt_count === 0
    ? "no exact match, since no row has a prompt before its answer"
    : `exact match on ${tuned.prompt_count} rows: base ${percent(base.exact_match)}, tuned ${
      percent(tuned.exact_match)
    }`;
  return `${loss}; ${match}`;
}
