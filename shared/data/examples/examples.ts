/** Rows of a dataset → token ids and their completion mask. */
import { LoraFleetError, quote } from "../../errors.ts";
import { countExampleLabels, type Example } from "../packing/example.ts";
import { invalidLine, type Row, type RowUnit } from "../rows/row.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import { createChatExamples } from "./chat_examples.ts";
import { createMessageWeights, type MessageWeights } from "../chat/messages/message_weights.ts";
import { type ColumnMapping, createColumnMapping } from "./column_mapping.ts";
import { contentOf } from "./row_forms.ts";
import { ResponseNotFoundError } from "./responses.ts";
import { createRowWeights, type RowWeights } from "./row_weight.ts";
import { createRowWarnings, type RowWarnings, type SeenInRows } from "./row_warnings.ts";
import { type BuilderSpec, createTextExamples, whyUntrained } from "./text_examples.ts";

/** Plain data. */
export interface RowNotes {
  readonly seen: SeenInRows;
  readonly columns: readonly string[];
  readonly hasWeights: boolean;
  readonly hasMessageWeights: boolean;
}

export interface ExampleBuilder {
  /**
   * Throws a `LoraFleetError` with code `invalid_dataset` that names the line; a `ResponseNotFoundError` for one that may be
   * left out.
   */
  build(row: Row): Example;
  /** What the rows since the last call have shown besides their examples. */
  takeNotes(): RowNotes;
  /** Goes on after rows that another builder of the same settings has built: `finish` and `warnings` are about them, too. */
  addNotes(notes: RowNotes): void;
  /** After the last row. Throws `invalid_dataset` for settings that no row has needed. */
  finish(): void;
  /** What a user should know about the rows so far, one sentence each. */
  warnings(): string[];
}

/**
 * The tokenizer's chat template is not read before the first row with messages.
 * @param unit what `Row.line` counts, for the warnings
 */
export function createExampleBuilder(
  tokenizer: Tokenizer,
  spec: BuilderSpec,
  unit: RowUnit = "line",
): ExampleBuilder {
  const warnings = createRowWarnings(unit);
  const texts = createTextExamples(tokenizer, spec, warnings);
  const messageWeights = createMessageWeights(spec.message_weight_field);
  const fromChat = createChatExamples(tokenizer, spec, warnings, messageWeights);
  const { eos } = tokenizer.specialTokens;
  const mapping = createColumnMapping(spec.column_mapping);
  const weights = createRowWeights(spec.weight_field);
  const stopIds = new Set(tokenizer.eosTokenIds);
  const fromText = (line: number, text: string): Example => {
    try {
      return texts.fromText(line, text);
    } catch (thrown) {
      if (thrown instanceof ResponseNotFoundError) {
        warnings.note("no response", line);
        warnings.rowDone();
      }
      throw thrown;
    }
  };
  return {
    build(row) {
      const { line } = row;
      const content = contentOf(
        mapping.rename(row),
        spec.text_field,
        mapping.mapped,
        () => mapping.hint(row),
      );
      const example = atLine(line, () => {
        if (content.kind === "text") return fromText(line, content.text);
        if (content.kind === "chat") {
          if (spec.response_template !== undefined) warnings.note("templates of chats", line);
          return fromChat(line, content);
        }
        // Rows to evaluate often have prompts beside texts to train on.
        if (spec.response_template !== undefined && spec.isEvaluated !== true) {
          warnings.note("templates of completions", line);
        }
        return texts.fromCompletion(line, content.prompt, content.completion);
      });
      const weight = weights.of(row);
      // The stop token is appended by its id, which the tokenizer did not see.
      atLine(line, () => tokenizer.assertFits(example.tokens));
      if (countExampleLabels(example) === 0) throw invalidLine(line, whyUntrained(example));
      warnings.rowDone();
      if (!hasTrainedStop(example, stopIds)) {
        const why = eos === null ? "the tokenizer names no eos_token" : `such as ${quote(eos)}`;
        warnings.note("stop untrained", line, why);
      }
      return weight === 1 ? example : { ...example, weight };
    },
    ...notesOf(warnings, mapping, weights, messageWeights),
    finish() {
      mapping.finish();
      if (spec.isEvaluated === true) return;
      weights.finish();
      messageWeights.finish();
    },
    warnings: () => warnings.list(),
  };
}

function notesOf(
  warnings: RowWarnings,
  mapping: ColumnMapping,
  weights: RowWeights,
  messageWeights: MessageWeights,
): Pick<ExampleBuilder, "takeNotes" | "addNotes"> {
  return {
    takeNotes: () => ({
      seen: warnings.take(),
      columns: mapping.takeColumns(),
      hasWeights: weights.isFound(),
      hasMessageWeights: messageWeights.isFound(),
    }),
    addNotes({ seen, columns, hasWeights, hasMessageWeights }) {
      warnings.add(seen);
      mapping.addColumns(columns);
      if (hasWeights) weights.setFound();
      if (hasMessageWeights) messageWeights.setFound();
    },
  };
}

function hasTrainedStop({ tokens, completionMask }: Example, stopIds: ReadonlySet<number>): boolean {
  return tokens.some((token, t) => t > 0 && completionMask[t] === 1 && stopIds.has(token));
}

/** Gives an error about a row's content the number of its line. */
function atLine<T>(line: number, body: () => T): T {
  try {
    return body();
  } catch (error) {
    if (
      error instanceof LoraFleetError && error.code === "invalid_dataset" &&
      !error.message.includes(`line ${line}`)
    ) {
      throw invalidLine(line, `cannot be used: ${error.message}`, error);
    }
    throw error;
  }
}
