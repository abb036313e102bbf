/**
 * From a dataset's rows to what an evaluation needs. Documents and their trained tokens are those of training; the question
 * that a row asks follows from them: its answer is the last run of trained tokens (a completion, or the last assistant turn),
 * its prompt everything before. A row of plain text is trained from its first token on and asks nothing.
 */
import { LoraFleetError, messageOf, quote } from "../../shared/errors.ts";
import type { Example } from "../../shared/data/packing/example.ts";
import { createExampleBuilder } from "../../shared/data/examples/examples.ts";
import { readJsonLines } from "../../shared/data/rows/jsonl.ts";
import type { Tokenizer } from "../../shared/data/tokenizer/tokenizer.ts";

/** A prompt and the answer that the dataset has for it, in tokens. */
export interface Question {
  readonly prompt: Uint32Array;
  /** What the model is trained to write before its first stop token. */
  readonly expected: Uint32Array;
}

export interface EvaluationRows {
  readonly examples: readonly Example[];
  /** Of the rows that ask something, in their order. */
  readonly questions: readonly Question[];
  /** Ids at which an answer ends: those that are known, and those with which the dataset's own answers end. */
  readonly stopTokens: ReadonlySet<number>;
  readonly warnings: readonly string[];
}

/**
 * Reads all rows.
 * @param knownStops ids that end an answer by the model's files
 * @throws LoraFleetError `invalid_dataset` that names the line or says that there are no rows; `storage` where the file cannot
 * be read; `invalid_model` for a chat template that is needed and lacking
 */
export async function readEvaluationRows(
  path: string,
  tokenizer: Tokenizer,
  knownStops: ReadonlySet<number>,
  textField: string,
): Promise<EvaluationRows> {
  const builder = createExampleBuilder(tokenizer, {
    text_field: textField,
    completion_only_loss: true,
    split_special_tokens: true,
  });
  const examples: Example[] = [];
  try {
    using file = await Deno.open(path);
    for await (const row of readJsonLines(file.readable)) examples.push(builder.build(row));
  } catch (cause) {
    if (cause instanceof LoraFleetError) throw cause;
    throw new LoraFleetError("storage", `Reading the dataset ${quote(path)} failed: ${messageOf(cause)}.`, {
      param: path,
      cause,
    });
  }
  if (examples.length === 0) {
    throw new LoraFleetError(
      "invalid_dataset",
      `Reading the dataset ${quote(path)} failed: it has no rows; one JSON object a line is needed.`,
      { param: path },
    );
  }
  const stopTokens = new Set([...knownStops, ...endMarksOf(examples, tokenizer)]);
  const questions = examples.map((example) => questionOf(example, stopTokens)).filter((found) =>
    found !== null
  );
  return { examples, questions, stopTokens, warnings: builder.warnings() };
}

/**
 * Special tokens with which the last trained turn of a document ends. A chat template may end turns with a token that the
 * model's files do not call a stop token (ChatML on a base model that stops at <|endoftext|>): the tuned model has learned to
 * end with it, and would be asked to go on.
 */
function endMarksOf(examples: readonly Example[], tokenizer: Tokenizer): Set<number> {
  const specials = new Set(tokenizer.addedTokens.filter(({ special }) => special).map(({ id }) => id));
  const isBlank = (token: number) => tokenizer.decode([token]).trim() === "";
  const marks = new Set<number>();
  for (const { tokens, completionMask } of examples) {
    let last = completionMask.lastIndexOf(1);
    while (completionMask[last] === 1 && !specials.has(tokens[last]!) && isBlank(tokens[last]!)) last--;
    if (completionMask[last] === 1 && specials.has(tokens[last]!)) marks.add(tokens[last]!);
  }
  return marks;
}

/**
 * What a document asks; null where there is nothing before its answer, as in plain text.
 *
 * Templates such as ChatML write a line break after the stop token, and training may count it as part of the turn. A
 * model that answers never gets there: it ends with its first stop token, and so does the expected answer.
 */
export function questionOf(
  { tokens, completionMask }: Example,
  stopTokens: ReadonlySet<number>,
): Question | null {
  const end = completionMask.lastIndexOf(1) + 1;
  const start = completionMask.lastIndexOf(0, end - 1) + 1;
  if (start === 0) return null;
  const answer = tokens.subarray(start, end);
  const stop = answer.findIndex((token) => stopTokens.has(token));
  return { prompt: tokens.slice(0, start), expected: answer.slice(0, stop === -1 ? answer.length : stop) };
}
