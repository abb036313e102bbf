/** The result of an evaluation as it is written: the form that the demo's report has. */
import type { Question } from "./rows.ts";

export interface EvaluationResult {
  /** Mean cross entropy of the trained tokens, in nats. */
  readonly eval_loss: number;
  /** Share of prompts whose greedy answer is the dataset's, text for text; 0 where there are no prompts. */
  readonly exact_match: number;
  /** The same where a run of white space equals any other, and none counts at either end. */
  readonly whitespace_tolerant_match: number;
  /** Rows with a prompt: 0 for plain text, which asks nothing. */
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
  loss: number,
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
