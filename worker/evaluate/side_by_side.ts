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
  return [...blocks, [matchLine(base, tuned), lossLine(base, tuned)].join("\n")].join("\n\n");
}

function matchLine(base: EvaluationResult, tuned: EvaluationResult): string {
  if (tuned.prompt_count === 0) return "exact match: none, since no row has a prompt before its answer";
  const percent = (share: number) => `${(100 * share).toFixed(1)}%`;
  const shares = `base ${percent(base.exact_match)}, tuned ${percent(tuned.exact_match)}`;
  return `exact match on ${tuned.prompt_count} prompts (=): ${shares}`;
}

function lossLine({ eval_loss: base }: EvaluationResult, { eval_loss: tuned }: EvaluationResult): string {
  if (base === null || tuned === null) return "loss: none, since no row has a token that counts in it";
  return `loss: base ${base.toFixed(4)}, tuned ${tuned.toFixed(4)}`;
}

/** One line; of a long text the end, which a prompt's question is at. */
function shown(text: string): string {
  // deno-lint-ignore no-control-regex -- a model's answer may contain terminal control sequences
  const line = [...text.trim().replaceAll("\n", "⏎").replace(/[\x00-\x1f\x7f-\x9f]+/g, " ")];
  return line.length <= LINE_CHARS ? line.join("") : `…${line.slice(1 - LINE_CHARS).join("")}`;
}
