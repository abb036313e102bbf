/** The result of an evaluation, in the form of the demo's report. */
import type { Question } from "./rows.ts";

export interface EvaluationResult {
  /** Mean cross entropy over the labels, in nats; null if no row has one. */
  readonly eval_loss: number | null;
  /** Share of prompts whose greedy answer equals the dataset's; 0 without prompts. */
  readonly exact_match: number;
  /** The same, with runs of white space equal and ends trimmed. */
  readonly whitespace_tolerant_match: number;
  /** Rows with a prompt: plain text has none. */
  readonly prompt_count: number;
  readonly samples: readonly Sample[];
}

export interface Sample {
  readonly prompt: string;
  readonly expected: string;
  readonly answer: string;
}

/**
 * @param answers the model's tokens for each question
 * @param textOf decodes tokens
 */
export function resultOf(
  loss: number | null,
  questions: readonly Question[],
  answers: readonly (readonly number[])[],
  textOf: (ids: Iterable<number>) => string,
): EvaluationResult {
  const samples = questions.map(({ prompt, expected }, index): Sample => ({
    prompt: textOf(prompt),
    expected: textOf(expected),
    answer: textOf(answers[index]!),
  }));
  const shareOf = (isMatch: (sample: Sample) => boolean) =>
    samples.length === 0 ? 0 : samples.filter(isMatch).length / samples.length;
  return {
    eval_loss: loss,
    exact_match: shareOf(({ expected, answer }) => answer === expected),
    whitespace_tolerant_match: shareOf(({ expected, answer }) => squeeze(answer) === squeeze(expected)),
    prompt_count: samples.length,
    samples,
  };
}

function squeeze(text: string): string {
  return text.trim().replace(/\s+/g, " ");
}
