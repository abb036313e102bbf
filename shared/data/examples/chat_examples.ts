/** Rows of messages → token ids and their completion mask, by the base model's chat templates. */
import { LoraFleetError, quote } from "../../errors.ts";
import type { PyValue } from "../../python/values/value.ts";
import {
  type ChatEncoder,
  createChatEncoder,
  type EncodedChat,
  type WeightedChat,
} from "../chat/masks/chat_example.ts";
import type { Loss } from "../chat/masks/dropped.ts";
import { allStrings } from "../chat/masks/open_chat.ts";
import { type ContentParts, createContentParts } from "../chat/messages/content_parts.ts";
import type { MessageWeights } from "../chat/messages/message_weights.ts";
import { parseMessages } from "../chat/messages/messages.ts";
import { parseTemplateKwargs, parseTools } from "../chat/messages/tools.ts";
import { createChatTemplate, type TemplateMessage } from "../chat/template/chat_template.ts";
import { countExampleLabels, type Example } from "../packing/example.ts";
import { invalidLine } from "../rows/row.ts";
import { hasNullField } from "../rows/nulls.ts";
import { refuseLoneSurrogates } from "../rows/surrogates.ts";
import { chooseTemplate } from "../tokenizer/files/named_templates.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import type { RowContent } from "./row_forms.ts";
import type { RowWarnings } from "./row_warnings.ts";
import { type BuilderSpec, noteSpecials, whyUntrained } from "./text_examples.ts";

type ChatContent = Extract<RowContent, { kind: "chat" }>;

/** Opens each of the model's chat templates when the first row needs it. */
export function createChatExamples(
  tokenizer: Tokenizer,
  spec: BuilderSpec,
  warnings: RowWarnings,
  weights: MessageWeights,
): (line: number, content: ChatContent) => Example {
  const templateFor = createTemplates(tokenizer, spec.split_special_tokens);
  return (line, { fields, hasPrompt }) => {
    const names = hasPrompt ? ["prompt", "completion"] : ["messages"];
    for (const name of [...names, "tools", "chat_template_kwargs"]) {
      refuseLoneSurrogates(line, quote(name), fields.get(name) ?? null);
    }
    const tools = parseTools(line, fields.get("tools"));
    const kwargs = parseTemplateKwargs(line, fields.get("chat_template_kwargs"));
    if (typeof fields.get("tools") === "string") refuseLoneSurrogates(line, `"tools"`, tools);
    const values = names.map((name) => fields.get(name)!);
    if (spec.split_special_tokens) noteSpecials(tokenizer, warnings, line, allStrings([...values, tools]));
    const { encoder, parts } = templateFor(tools !== null);
    const encode = (keepNulls: boolean): EncodedChat => {
      const parsed = names.map((name) => parseMessages(line, name, fields.get(name), keepNulls));
      const weighed = parsed.map((messages, at) => weights.of(line, names[at]!, messages));
      const lists = parsed.map((messages, at): TemplateMessage[] => parts.fit(line, names[at]!, messages));
      // OpenAI's format has no prompts, so its rule is not for them.
      const own = hasPrompt && !weights.isChosen ? weighed.flat().map(() => 1) : weighed.flat();
      const chat: WeightedChat = { messages: lists.flat(), tools, kwargs, weights: own };
      return hasPrompt
        ? encoder.encodeCompletion(chat, lists[0]!.length, spec.completion_only_loss)
        : encoder.encodeTurns(chat, spec.assistant_only_loss ?? spec.completion_only_loss);
    };
    const { losses, isPromptSplit, ...example } = withNullsIfNeeded(values, encode);
    if (countExampleLabels(example) === 0) throw invalidLine(line, whyChatIsUntrained(example, losses));
    warnings.noteLosses(line, losses);
    if (isPromptSplit) warnings.note("split prompt", line);
    if (values.some(hasNullArguments)) warnings.note("null arguments", line);
    return example;
  };
}

interface OpenTemplate {
  readonly encoder: ChatEncoder;
  readonly parts: ContentParts;
}

function createTemplates(
  tokenizer: Tokenizer,
  splitSpecialTokens: boolean,
): (hasTools: boolean) => OpenTemplate {
  const opened = new Map<string | null, OpenTemplate>();
  return (hasTools) => {
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

function whyChatIsUntrained(example: Example, losses: readonly Loss[]): string {
  const lost = losses.find(({ what }) => what.startsWith("the assistant's"));
  if (example.tokens.length < 2) return whyUntrained(example);
  if (lost === undefined) return "has no assistant turn to train on; it trains nothing";
  return `trains nothing: the chat template drops ${lost.what}, such as ${quote(lost.example)} in message ` +
    `${lost.message}`;
}
