/**
 * A chat → tokens and which of them are trained. Templates do not say which text is the assistant's, so each of its
 * turns is found by rendering the chat up to it and through it (with and without the words that make a model answer).
 */
import { LoraFleetError } from "../errors.ts";
import type { ChatMessage, ChatTemplate } from "./chat_template.ts";
import type { Example } from "./example.ts";
import { parseJson } from "./python/parse_json.ts";
import type { PyValue } from "./python/value.ts";
import type { Hiding } from "./special_text.ts";
import type { Tokenizer } from "./tokenizer.ts";

export interface ChatOptions {
  readonly tools?: unknown;
  /** Encode special tokens' strings inside messages as plain text. */
  readonly splitSpecialTokens: boolean;
}

export interface ChatEncoder {
  /** Trains the assistant's turns (each with the tokens that end it), or everything. A turn of weight 0 is context. */
  encodeTurns(messages: readonly ChatMessage[], assistantOnly: boolean): Example;
  /** Trains what follows the first `promptLength` messages, or everything. */
  encodeCompletion(messages: readonly ChatMessage[], promptLength: number, completionOnly: boolean): Example;
}

/** Throws `invalid_dataset` from its methods where the template refuses a chat or a turn cannot be found in its text. */
export function createChatEncoder(
  tokenizer: Tokenizer,
  template: ChatTemplate,
  options: ChatOptions,
): ChatEncoder {
  const { tools, splitSpecialTokens } = options;

  const open = (original: readonly ChatMessage[]) => {
    const context = JSON.stringify([original, tools ?? null]) + template.source;
    const hiding = splitSpecialTokens ? tokenizer.specialText.hidingFor(context) : null;
    const messages = original.map((message) => hideMessage(message, hiding));
    const hiddenTools = hiding === null ? tools : hideStrings(tools, hiding);
    const render = (count: number, addGenerationPrompt = false) =>
      template.render(
        messages.slice(0, count).map((message) => new Map(Object.entries(message).map(pythonField))),
        {
          addGenerationPrompt,
          tools: fromJson(hiddenTools ?? null),
        },
      ).text;
    const encode = (text: string) =>
      tokenizer.encode(text, {
        addSpecialTokens: false,
        splitSpecialTokens: false,
        ...(hiding === null ? {} : { hiding }),
      });
    const text = render(messages.length);
    const ids = encode(text);
    /** How many tokens of the whole lie before a place in the text; one that reaches beyond it is not counted. */
    const tokensBefore = (offset: number) => commonPrefix(encode(text.slice(0, offset)), ids);
    return { messages, render, text, ids, tokensBefore };
  };

  return {
    encodeTurns(original, assistantOnly) {
      const chat = open(original);
      const trained = new Uint8Array(chat.ids.length).fill(assistantOnly ? 0 : 1);
      chat.messages.forEach((message, turn) => {
        const value = message["weight"] === 0 ? 0 : 1;
        if (message.role !== "assistant" || (value === 1 && !assistantOnly)) return;
        const { start, end } = findTurn(chat, turn);
        trained.fill(value, chat.tokensBefore(start), chat.tokensBefore(end));
      });
      return { tokens: Uint32Array.from(chat.ids), trained };
    },
    encodeCompletion(original, promptLength, completionOnly) {
      const { ids, render, text, tokensBefore } = open(original);
      const trained = new Uint8Array(ids.length).fill(1);
      if (completionOnly) trained.fill(0, 0, tokensBefore(commonPrefix(text, render(promptLength, true))));
      return { tokens: Uint32Array.from(ids), trained };
    },
  };
}

interface RenderedChat {
  readonly messages: readonly ChatMessage[];
  readonly text: string;
  readonly render: (count: number, addGenerationPrompt?: boolean) => string;
}

/** Where a turn's own text begins and ends in the whole chat's text. */
function findTurn({ messages, render, text }: RenderedChat, turn: number): { start: number; end: number } {
  const asked = turn === 0 ? renderNothing(render) : render(turn, true);
  const unasked = turn === 0 ? "" : render(turn);
  // A generation prompt may hold words that the finished chat drops ("<think>"): the turn starts where they part.
  const start = commonPrefix(text, asked);
  if (start < commonPrefix(asked, unasked)) throw unfound(turn);

  const through = render(turn + 1);
  const content = contentOf(messages[turn]!);
  const shared = commonPrefix(text, through);
  const contentEnd = through.lastIndexOf(content) + content.length;
  if (shared === through.length || (through.includes(content) && shared >= Math.max(contentEnd, start + 1))) {
    return { start, end: shared };
  }
  // The template writes this turn differently when others follow it: look for its content and for what ended it.
  const at = text.indexOf(content, start);
  if (content === "" || at === -1 || !through.includes(content)) throw unfound(turn);
  const trailer = through.slice(contentEnd);
  return { start, end: at + content.length + commonPrefix(trailer, text.slice(at + content.length)) };
}

/** Templates that look at the first message refuse an empty chat; then a first turn starts where the text does. */
function renderNothing(render: RenderedChat["render"]): string {
  try {
    return render(0, true);
  } catch (error) {
    if (error instanceof LoraFleetError) return "";
    throw error;
  }
}

function contentOf(message: ChatMessage): string {
  const content = message["content"];
  if (typeof content === "string") return content.trim();
  if (!Array.isArray(content)) return "";
  const texts = content.flatMap((part: unknown) =>
    typeof part === "object" && part !== null && "text" in part && typeof part.text === "string"
      ? [part.text]
      : []
  );
  return (texts.at(-1) ?? "").trim();
}

function unfound(turn: number): LoraFleetError {
  return new LoraFleetError(
    "invalid_dataset",
    `the base model's chat template writes the text of message ${
      turn + 1
    } differently when other messages follow, so ` +
      `the assistant's tokens cannot be told apart; end the row with that message, or set ` +
      `dataset.completion_only_loss to false`,
  );
}

const pythonField = ([key, value]: [string, unknown]): [string, PyValue] => [key, fromJson(value)];

/** What `JSON.parse` gave, as Python would have it. */
function fromJson(value: unknown): PyValue {
  return value === undefined ? null : parseJson(JSON.stringify(value));
}

function hideMessage(message: ChatMessage, hiding: Hiding | null): ChatMessage {
  if (hiding === null) return message;
  const hidden = Object.entries(message).map(([key, value]) => [key, hideStrings(value, hiding)]);
  return { ...Object.fromEntries(hidden), role: hiding.hide(message.role) };
}

function hideStrings(value: unknown, hiding: Hiding): unknown {
  if (typeof value === "string") return hiding.hide(value);
  if (Array.isArray(value)) return value.map((item) => hideStrings(item, hiding));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, field]) => [key, hideStrings(field, hiding)]));
}

/** Length of what two texts or two lists of ids have in common at their beginning. */
export function commonPrefix<T extends string | readonly number[]>(left: T, right: T): number {
  const end = Math.min(left.length, right.length);
  let length = 0;
  while (length < end && left[length] === right[length]) length++;
  return length;
}
