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
