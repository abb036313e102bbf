/**
 * Rows of a dataset → token ids and which of them are trained. The form of a row follows from its fields, in the order
 * in which TRL looks for them: `prompt` and `completion`, `messages`, the text field.
 */
import { LoraFleetError, quote } from "../errors.ts";
import type { DatasetSpec } from "../job_spec.ts";
import { commonPrefix, createChatEncoder } from "./chat_example.ts";
import { type ChatTemplate, createChatTemplate } from "./chat_template.ts";
import { countTrained, type Example } from "./example.ts";
import { invalidLine, type JsonRow } from "./jsonl.ts";
import { parseMessages } from "./messages.ts";
import type { Tokenizer } from "./tokenizer.ts";

export interface ExampleBuilder {
  /** Throws a `LoraFleetError` with code `invalid_dataset` that names the line. */
  build(row: JsonRow): Example;
  /** What a user should know about the rows so far, one sentence each. */
  warnings(): string[];
}

type BuilderSpec = Pick<
  DatasetSpec,
  "text_field" | "completion_only_loss" | "assistant_only_loss" | "split_special_tokens"
>;

/** Nothing is read from the tokenizer's chat template before a row with messages asks for it. */
export function createExampleBuilder(tokenizer: Tokenizer, spec: BuilderSpec): ExampleBuilder {
  const splitSpecialTokens = spec.split_special_tokens;
  const eosText = tokenizer.specialTokens.eos;
  const eosId = tokenizer.eosTokenIds[0] ?? null;
  const stopIds = new Set(tokenizer.eosTokenIds);
  const counts = { rows: 0, stopUntrained: 0, specialTexts: 0, splitPrompts: 0 };
  let firstSpecialLine = 0;
  let template: ChatTemplate | null = null;

  /** The string of the stop token at the end of a text means the stop token: TRL does not append another. */
  const withoutStop = (text: string) =>
    eosText !== null && text.endsWith(eosText) ? text.slice(0, -eosText.length) : text;
  /** Appends the stop token, unless the tokenizer itself ends every text with it. */
  const withStop = (ids: number[], wasWritten: boolean) =>
    eosId === null || (!wasWritten && ids.at(-1) === eosId) ? ids : [...ids, eosId];
  const noteSpecials = (line: number, texts: string): void => {
    if (!splitSpecialTokens || !tokenizer.specialText.includes(texts)) return;
    if (counts.specialTexts++ === 0) firstSpecialLine = line;
  };

  const buildText = (line: number, text: string): Example => {
    const body = withoutStop(text);
    noteSpecials(line, body);
    const tokens = withStop(tokenizer.encode(body, { splitSpecialTokens }), body !== text);
    return { tokens: Uint32Array.from(tokens), trained: new Uint8Array(tokens.length).fill(1) };
  };

  const buildCompletion = (line: number, prompt: string, completion: string): Example => {
    const whole = prompt + completion;
    const body = prompt + withoutStop(completion);
    noteSpecials(line, body);
    const tokens = withStop(tokenizer.encode(body, { splitSpecialTokens }), body !== whole);
    const trained = new Uint8Array(tokens.length).fill(1);
    if (spec.completion_only_loss) {
      const promptIds = tokenizer.encode(prompt, { splitSpecialTokens });
      // As in TRL, the completion starts where the tokens part: the prompt's last ones may have merged with it.
      const shared = commonPrefix(promptIds, tokens);
      if (shared < promptIds.length) counts.splitPrompts++;
      trained.fill(0, 0, shared);
    }
    return { tokens: Uint32Array.from(tokens), trained };
  };

  const buildChat = (row: JsonRow): Example => {
    const { prompt, completion, messages: all, tools } = row.fields;
    template ??= createChatTemplate(tokenizer);
    const encoder = createChatEncoder(tokenizer, template, { tools, splitSpecialTokens });
    noteSpecials(row.line, allStrings([prompt, completion, all, tools]));
    if (all !== undefined) {
      return encoder.encodeTurns(
        parseMessages(row.line, "messages", all),
        spec.assistant_only_loss ?? spec.completion_only_loss,
      );
    }
    const asked = parseMessages(row.line, "prompt", prompt);
    const answered = parseMessages(row.line, "completion", completion);
    return encoder.encodeCompletion([...asked, ...answered], asked.length, spec.completion_only_loss);
  };

  return {
    build(row) {
      const form = formOf(row, spec.text_field);
      const example = atLine(row.line, () => {
        if (form.kind === "text") return buildText(row.line, form.text);
        if (form.kind === "completion") return buildCompletion(row.line, form.prompt, form.completion);
        return buildChat(row);
      });
      if (countTrained(example) === 0) throw invalidLine(row.line, whyUntrained(form.kind, example));
      counts.rows++;
      if (!hasTrainedStop(example, stopIds)) counts.stopUntrained++;
      return example;
    },
    warnings() {
      const { rows, stopUntrained, specialTexts, splitPrompts } = counts;
      const warnings: string[] = [];
      if (stopUntrained > 0) {
        warnings.push(
          `${stopUntrained} of ${rows} rows train no token at which generation stops ` +
            (eosText === null ? "(the tokenizer names no eos_token)" : `(such as ${quote(eosText)})`) +
            `: the tuned model may not know where to end.`,
        );
      }
      if (specialTexts > 0) {
        warnings.push(
          `${specialTexts} of ${rows} rows (the first is line ${firstSpecialLine}) contain the strings of special ` +
            `tokens, which were encoded as plain text. If they are meant as special tokens, set ` +
            `dataset.split_special_tokens to false.`,
        );
      }
      if (splitPrompts > 0) {
        warnings.push(
          `${splitPrompts} of ${rows} prompts end in tokens that merge with the completion: the model is trained on ` +
            `another context than it will see. Let prompts end at a token's boundary, for instance with a line break.`,
        );
      }
      return warnings;
    },
  };
}

type RowForm =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "completion"; readonly prompt: string; readonly completion: string }
  | { readonly kind: "chat" };

function formOf({ line, fields }: JsonRow, textField: string): RowForm {
  const { prompt, completion, messages } = fields;
  if (prompt !== undefined && completion !== undefined) {
    if (typeof prompt === "string" && typeof completion === "string") {
      return { kind: "completion", prompt, completion };
    }
    if (Array.isArray(prompt) && Array.isArray(completion)) return { kind: "chat" };
    throw invalidLine(
      line,
      `has the prompt ${quote(prompt)} and the completion ${
        quote(completion)
      }; two texts or two lists of messages ` +
        `are needed`,
    );
  }
  if (messages !== undefined) return { kind: "chat" };
  const text = fields[textField];
  if (typeof text === "string") return { kind: "text", text };
  if (text !== undefined) {
    throw invalidLine(line, `has the ${quote(textField)} ${quote(text)}; a text is needed`);
  }
  const names = Object.keys(fields).slice(0, 10).map(quote).join(", ") || "no fields";
  throw invalidLine(
    line,
    `has ${names}, but neither "prompt" and "completion" nor "messages" nor the text field ${
      quote(textField)
    } ` +
      `(dataset.text_field)`,
  );
}

function whyUntrained(kind: RowForm["kind"], { tokens }: Example): string {
  if (tokens.length < 2) {
    const count = tokens.length === 1 ? "1 token" : `${tokens.length} tokens`;
    return `has ${count}, and the first one is never predicted; it trains nothing`;
  }
  if (kind === "chat") return "has no assistant turn to train on; it trains nothing";
  return "has an empty completion; it trains nothing";
}

function hasTrainedStop({ tokens, trained }: Example, stopIds: ReadonlySet<number>): boolean {
  return tokens.some((token, t) => t > 0 && trained[t] === 1 && stopIds.has(token));
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

/** Every text inside a value, so that all can be searched at once. */
function allStrings(value: unknown): string {
  if (typeof value === "string") return value;
  if (typeof value !== "object" || value === null) return "";
  return Object.values(value).map(allStrings).join("\n");
}
