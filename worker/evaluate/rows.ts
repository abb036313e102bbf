/**
 * A dataset's rows as documents and questions. Documents and completion masks are those of training. A question's answer is the
 * last run of completion tokens (a completion, or the last assistant turn), its prompt everything before. Plain text is all
 * completion and has no question.
 */
import { basename } from "@std/path";
import { LoraFleetError, messageOf, quote } from "../../shared/errors.ts";
import type { Example } from "../../shared/data/packing/example.ts";
import { createExampleBuilder } from "../../shared/data/examples/examples.ts";
import { openRowSource } from "../../shared/data/files/data_files.ts";
import { ONLY_SPLIT } from "../../shared/data/rows/split.ts";
import type { Tokenizer } from "../../shared/data/tokenizer/tokenizer.ts";

/** A prompt and the dataset's answer, in tokens. */
export interface Question {
  readonly prompt: Uint32Array;
  /** Up to the first stop token. */
  readonly expected: Uint32Array;
}

export interface EvaluationRows {
  readonly examples: readonly Example[];
  /** In the order of their rows. */
  readonly questions: readonly Question[];
  /** Ids that end an answer: the known ones, and those with which the dataset's own answers end. */
  readonly stopTokens: ReadonlySet<number>;
  readonly warnings: readonly string[];
}

/**
 * @param knownStops ids that end an answer by the model's files
 * @throws LoraFleetError `invalid_dataset` naming the line, or for a file without rows; `storage` if the file cannot be read;
 * `invalid_model` if rows need a chat template and the model has none
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
    // An evaluation has no weights, but the rows of a training file may have them.
    message_weight_field: "weight",
    isEvaluated: true,
  });
  const examples: Example[] = [];
  try {
    const source = await openRowSource([{ path, name: basename(path), sha256: null }], {});
    for await (const row of source.rows(ONLY_SPLIT)) {
      if (!source.hasBlankLines || row.fields.get("text") !== "") examples.push(builder.build(row));
    }
  } catch (cause) {
    if (cause instanceof LoraFleetError && cause.code !== "storage") throw cause;
    const message = `Reading the dataset ${quote(path)} failed: ${messageOf(cause)}`;
    throw new LoraFleetError("storage", message, { param: path, cause });
  }
  if (examples.length === 0) {
    const message = `Reading the dataset ${quote(path)} failed: it has no rows`;
    throw new LoraFleetError("invalid_dataset", message, { param: path });
  }
  const stopTokens = new Set([...knownStops, ...endMarksOf(examples, tokenizer)]);
  const questions = examples.flatMap((example) => questionOf(example, stopTokens) ?? []);
  return { examples, questions, stopTokens, warnings: builder.warnings() };
}

/**
 * Special tokens that end the last completion of a document. A chat template may end turns with a token that is no stop token in
 * the model's files (ChatML on a base model that stops at <|endoftext|>); the tuned model has learned to stop there.
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
 * A document's question; null if nothing precedes the answer, as in plain text.
 *
 * Templates such as ChatML write a line break after the stop token, and training may count it as part of the turn.
 * Generation ends at the first stop token, so the expected answer does too.
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
