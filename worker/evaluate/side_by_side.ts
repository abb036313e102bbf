/** The answers of the base model and of the tuned one beside each other, for people. */
import type { EvaluationResult } from "./result.ts";

export interface SideBySide {
  readonly base: EvaluationResult;
  readonly tuned: EvaluationResult;
}

/** A line of a terminal that is not wide. */
const LINE_CHARS = 100;

/** One block for each prompt, then both models' shares of exact answers and losses. */
export function formatSideBySide({ base, tuned }: SideBySide): string {
  const blocks = tuned.samples.map(({ prompt, expected, answer }, index) => {
    const fromBase = base.samples[index]!.answer;
    const mark = (text: string) => text === expected ? " =" : "";
    return [
      `prompt    ${shown(prompt)}`,
      `expected  ${shown(expected)}`,
      `base      ${shown(fromBase)}${mark(fromBase)}`,
      `tuned     ${shown(answer)}${mark(answer)}`,
    ].join("\n");
  });
  const percent = (share: number) => `${(100 * share).toFixed(1)}%`;
  return [
    ...blocks,
    [
      `exact match on ${tuned.prompt_count} prompts (=): base ${percent(base.exact_match)}, tuned ${
        percent(tuned.exact_match)
      }`,
      `loss: base ${base.eval_loss.toFixed(4)}, tuned ${tuned.eval_loss.toFixed(4)}`,
    ].join("\n"),
  ].join("\n\n");
}

/** One line; of a long text the end, which a prompt's question is at. */
function shown(text: string): string {
  // deno-lint-ignore no-control-regex -- a model's answer may contain terminal control sequences
  const line = [...text.trim().replaceAll("\n", "⏎").replace(/[\x00-\x1f\x7f-\x9f]+/g, " ")];
  return line.length <= LINE_CHARS ? line.join("") : `…${line.slice(1 - LINE_CHARS).join("")}`;
}
