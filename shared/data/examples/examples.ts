/** Rows of a dataset → token ids and which of them are trained. */
import { counted } from "../../counted.ts";
import { LoraFleetError, quote } from "../../errors.ts";
import type { DatasetSpec } from "../../job/job_spec_schema.ts";
import {
  allStrings,
  type Chat,
  type ChatEncoder,
  createChatEncoder,
  type EncodedChat,
} from "../chat/masks/chat_example.ts";
import { createChatTemplate, type TemplateMessage } from "../chat/template/chat_template.ts";
import { type ContentParts, createContentParts } from "../chat/messages/content_parts.ts";
import { countExampleLabels, type Example } from "../packing/example.ts";
import { invalidLine, type JsonRow } from "../rows/jsonl.ts";
import type { Loss } from "../chat/masks/dropped.ts";
import { commonPrefix } from "../chat/turns/lexemes.ts";
import { parseMessages } from "../chat/messages/messages.ts";
import { chooseTemplate } from "../tokenizer/files/named_templates.ts";
import { hasNullField } from "../rows/nulls.ts";
import type { PyValue } from "../../python/values/value.ts";
import { contentOf, type RowContent } from "./row_forms.ts";
import { createRowWarnings } from "./row_warnings.ts";
import { refuseLoneSurrogates } from "../rows/surrogates.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import { parseTemplateKwargs, parseTools } from "../chat/messages/tools.ts";

interface ExampleBuilder {
  /** Throws a `LoraFleetError` with code `invalid_dataset` that names the line. */
  build(row: JsonRow): Example;
  /** What a user should know about the rows so far, one sentence each. */
  warnings(): string[];
}

type BuilderSpec = Pick<
  DatasetSpec,
  "text_field" | "completion_only_loss" | "assistant_only_loss" | "split_special_tokens"
>;
type ChatContent = Extract<RowContent, { kind: "chat" }>;

/** Nothing is read from the tokenizer's chat template before a row with messages asks for it. */
export function createExampleBuilder(tokenizer: Tokenizer, spec: BuilderSpec): ExampleBuilder {
  const splitSpecialTokens = spec.split_special_tokens;
  const eosText = tokenizer.specialTokens.eos;
  const eosId = tokenizer.eosTokenIds[0] ?? null;
  const stopIds = new Set(tokenizer.eosTokenIds);
  const warnings = createRowWarnings();
  const templates = createTemplates(tokenizer, splitSpecialTokens);

  /** The string of the stop token at the end of a text means the stop token: TRL does not append another. */
  const withoutStop = (text: string) =>
    eosText !== null && text.endsWith(eosText) ? text.slice(0, -eosText.length) : text;
  /** Appends the stop token, unless the tokenizer itself ends every text with it. */
  const withStop = (ids: number[], wasWritten: boolean) =>
    eosId === null || (!wasWritten && ids.at(-1) === eosId) ? ids : [...ids, eosId];
  const noteSpecials = (line: number, texts: Iterable<string>): void => {
    if (!splitSpecialTokens) return;
    for (const text of texts) {
      if (tokenizer.specialText.includes(text)) return warnings.note("special text", line);
    }
  };
  /** Plain text that begins with BOS was formatted for a tokenizer that reads it as a token. */
  const noteWrittenText = (line: number, text: string, body: string): void => {
    const { bos } = tokenizer.specialTokens;
    if (splitSpecialTokens && bos !== null && text.trimStart().startsWith(bos)) {
      warnings.note("written specials", line, quote(bos));
    } else noteSpecials(line, [body]);
  };

  const buildText = (line: number, text: string): Example => {
    refuseLoneSurrogates(line, quote(spec.text_field), text);
    const body = withoutStop(text);
    noteWrittenText(line, text, body);
    const tokens = withStop(tokenizer.encode(body, { splitSpecialTokens }), body !== text);
    return { tokens: Uint32Array.from(tokens), completionMask: new Uint8Array(tokens.length).fill(1) };
  };

  const buildCompletion = (line: number, prompt: string, completion: string): Example => {
    refuseLoneSurrogates(line, `"prompt"`, prompt);
    refuseLoneSurrogates(line, `"completion"`, completion);
    const whole = prompt + completion;
    const body = prompt + withoutStop(completion);
    noteWrittenText(line, whole, body);
    const tokens = withStop(tokenizer.encode(body, { splitSpecialTokens }), body !== whole);
    const completionMask = new Uint8Array(tokens.length).fill(1);
    if (spec.completion_only_loss) {
      const promptIds = tokenizer.encode(prompt, { splitSpecialTokens });
      // As in TRL, the completion starts where the tokens part: the prompt's last ones may have merged with it.
      const shared = commonPrefix(promptIds, tokens);
      if (shared < promptIds.length) warnings.note("split prompt", line);
      completionMask.fill(0, 0, shared);
    }
    return { tokens: Uint32Array.from(tokens), completionMask };
  };

  const buildChat = (line: number, { fields, hasPrompt }: ChatContent): Example => {
    const names = hasPrompt ? ["prompt", "completion"] : ["messages"];
    for (const name of [...names, "tools", "chat_template_kwargs"]) {
      refuseLoneSurrogates(line, quote(name), fields.get(name) ?? null);
    }
    const tools = parseTools(line, fields.get("tools"));
    const kwargs = parseTemplateKwargs(line, fields.get("chat_template_kwargs"));
    if (typeof fields.get("tools") === "string") refuseLoneSurrogates(line, `"tools"`, tools);
    noteSpecials(line, allStrings([...names.map((name) => fields.get(name)!), tools]));
    const { encoder, parts } = templates.of(tools !== null);
    const encode = (keepNulls: boolean): EncodedChat => {
      const read = (name: string): TemplateMessage[] =>
        parts.fit(line, name, parseMessages(line, name, fields.get(name), keepNulls));
      const lists = names.map(read);
      const chat: Chat = { messages: lists.flat(), tools, kwargs };
      return hasPrompt
        ? encoder.encodeCompletion(chat, lists[0]!.length, spec.completion_only_loss)
        : encoder.encodeTurns(chat, spec.assistant_only_loss ?? spec.completion_only_loss);
    };
    const { losses, isPromptSplit, ...example } = withNullsIfNeeded(
      names.map((name) => fields.get(name)!),
      encode,
    );
    if (countExampleLabels(example) === 0) throw invalidLine(line, whyChatIsUntrained(example, losses));
    warnings.noteLosses(line, losses);
    if (isPromptSplit) warnings.note("split prompt", line);
    if (names.some((name) => hasNullArguments(fields.get(name)!))) warnings.note("null arguments", line);
    return example;
  };

  return {
    build(row) {
      const content = contentOf(row, spec.text_field);
      const example = atLine(row.line, () => {
        if (content.kind === "text") return buildText(row.line, content.text);
        if (content.kind === "completion") {
          return buildCompletion(row.line, content.prompt, content.completion);
        }
        return buildChat(row.line, content);
      });
      // The stop token is appended by its id, which the tokenizer did not see.
      atLine(row.line, () => tokenizer.assertFits(example.tokens));
      if (countExampleLabels(example) === 0) throw invalidLine(row.line, whyUntrained(example));
      warnings.rowDone();
      if (!hasTrainedStop(example, stopIds)) {
        const example = eosText === null ? "the tokenizer names no eos_token" : `such as ${quote(eosText)}`;
        warnings.note("stop untrained", row.line, example);
      }
      return example;
    },
    warnings: () => warnings.list(),
  };
}

interface OpenTemplate {
  readonly encoder: ChatEncoder;
  readonly parts: ContentParts;
}

/** The model's templates, each opened when the first row needs it. */
function createTemplates(tokenizer: Tokenizer, splitSpecialTokens: boolean) {
  const opened = new Map<string | null, OpenTemplate>();
  return {
    of(hasTools: boolean): OpenTemplate {
      const source = chooseTemplate(tokenizer.chatTemplate, hasTools);
      let found = opened.get(source);
      if (found === undefined) {
        const template = createChatTemplate({ chatTemplate: source, specialTokens: tokenizer.specialTokens });
        found = {
          encoder: createChatEncoder(tokenizer, template, { splitSpecialTokens }),
          parts: createContentParts(template),
        };
        opened.set(source, found);
      }
      return found;
    },
  };
}

/**
 * A null content counts as absent, as in transformers, and so do null arguments of a call. Some templates refuse that, because
 * they tell a message of tool calls by `content is none`, or print the arguments: they get the null.
 */
function withNullsIfNeeded<T>(lists: readonly PyValue[], encode: (keepNulls: boolean) => T): T {
  try {
    return encode(false);
  } catch (error) {
    const keepsNull = (message: PyValue) =>
      message instanceof Map &&
      (message.get("content") === null ||
        calledIn(message).some((called) => called.get("arguments") === null));
    const hasNull = lists.some((list) => Array.isArray(list) && list.some(keepsNull));
    if (!hasNull || !(error instanceof LoraFleetError) || error.code !== "invalid_dataset") throw error;
    try {
      return encode(true);
    } catch {
      throw error;
    }
  }
}

function hasNullArguments(messages: PyValue): boolean {
  if (!Array.isArray(messages)) return false;
  return messages.some((message) =>
    calledIn(message).some((called) => hasNullField(called.get("arguments") ?? null))
  );
}

/** The functions that a message calls, with their arguments. */
function calledIn(message: PyValue): ReadonlyMap<string, PyValue>[] {
  const calls = message instanceof Map ? message.get("tool_calls") : null;
  if (!Array.isArray(calls)) return [];
  return calls.map((call) => call instanceof Map ? call.get("function") ?? call : null)
    .filter((called) => called instanceof Map);
}

function whyUntrained({ tokens }: Example): string {
  if (tokens.length < 2) {
    return `has ${counted(tokens.length, "token")}, and the first one is never predicted; it trains nothing`;
  }
  return "has an empty completion; it trains nothing";
}

function whyChatIsUntrained(example: Example, losses: readonly Loss[]): string {
  const lost = losses.find(({ what }) => what.startsWith("the assistant's"));
  if (example.tokens.length < 2) return whyUntrained(example);
  if (lost === undefined) return "has no assistant turn to train on; it trains nothing";
  return `trains nothing: the chat template drops ${lost.what}, such as ${
    quote(lost.example)
  } in message ${lost.message}`;
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
