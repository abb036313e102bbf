/**
 * A chat → tokens and their completion mask. If the template marks the assistant's words itself (`{% generation %}`), they
 * are trained, as transformers' assistant mask has it; otherwise the turns that turns.ts finds.
 */
import { LoraFleetError } from "../../../errors.ts";
import type { Example, WeightSpan } from "../../packing/example.ts";
import { roleOf } from "../messages/messages.ts";
import type { ChatTemplate } from "../template/chat_template.ts";
import { commonPrefix } from "../turns/lexemes.ts";
import type { Tokenizer } from "../../tokenizer/tokenizer.ts";
import type { Loss } from "./dropped.ts";
import { type Chat, createChatOpener, type OpenChat } from "./open_chat.ts";

export interface EncodedChat extends Example {
  /** What the template left out. */
  readonly losses: readonly Loss[];
  /** Whether the prompt's tokens are not the first ones of the whole: its last ones merged, or it renders differently. */
  readonly isPromptSplit: boolean;
}

/** A chat and the weights of its messages: an assistant's turn of weight 0 is context, all others' have 1. */
export interface WeightedChat extends Chat {
  readonly weights: readonly number[];
}

export interface ChatEncoder {
  /** Trains the assistant's turns (each with the tokens that end it), or everything. */
  encodeTurns(chat: WeightedChat, assistantOnly: boolean): EncodedChat;
  /** Trains what follows the first `promptLength` messages, or everything. */
  encodeCompletion(chat: WeightedChat, promptLength: number, completionOnly: boolean): EncodedChat;
}

/**
 * One encoder serves all rows of a template and keeps what it learns about it. Its methods throw `invalid_dataset` if the
 * template refuses a chat or a turn cannot be found in its text.
 * @param splitSpecialTokens encode special tokens' strings inside messages as plain text
 */
export function createChatEncoder(
  tokenizer: Tokenizer,
  template: ChatTemplate,
  options: { readonly splitSpecialTokens: boolean },
): ChatEncoder {
  const open = createChatOpener(tokenizer, template, options);
  const stopIds = new Set(tokenizer.eosTokenIds);
  const encoded = (
    chat: OpenChat,
    completionMask: Uint8Array,
    weightSpans: readonly WeightSpan[],
    isPromptSplit: boolean,
  ): EncodedChat => ({
    tokens: Uint32Array.from(chat.ids),
    completionMask,
    ...weightSpans.length === 0 ? {} : { weightSpans },
    losses: chat.losses(),
    isPromptSplit,
  });
  return {
    encodeTurns(original, assistantOnly) {
      const chat = open(original);
      const completionMask = new Uint8Array(chat.ids.length).fill(assistantOnly ? 0 : 1);
      if (assistantOnly && template.hasGenerationBlocks) trainGenerated(chat, completionMask);
      const train = assistantOnly && !template.hasGenerationBlocks;
      const { weights } = original;
      const spans = train || isWeighted(weights)
        ? weighTurns(chat, completionMask, { train, stopIds, weights })
        : [];
      return encoded(chat, completionMask, spans, false);
    },
    encodeCompletion(original, promptLength, completionOnly) {
      const chat = open(original);
      const completionMask = new Uint8Array(chat.ids.length).fill(1);
      // As in TRL, the completion starts at the first token that differs.
      const prompt = chat.encode(chat.render(chat.messages.slice(0, promptLength), true));
      const shared = commonPrefix(prompt, chat.ids);
      if (completionOnly) completionMask.fill(0, 0, shared);
      const { weights } = original;
      const spans = isWeighted(weights)
        ? weighTurns(chat, completionMask, { train: false, stopIds, weights })
        : [];
      return encoded(chat, completionMask, spans, completionOnly && shared < prompt.length);
    },
  };
}

/** As transformers maps characters to tokens: from the one that holds the first to the one that holds the last. */
function trainGenerated({ generated, tokens }: OpenChat, completionMask: Uint8Array): void {
  for (const [start, end] of generated) {
    if (start < end) completionMask.fill(1, tokens.before(start).count, tokens.through(end));
  }
}

const isWeighted = (weights: readonly number[]) => weights.some((weight) => weight !== 1);

/** Trains the turns, or only takes those of weight 0 out. Returns where other weights than 0 and 1 are. */
function weighTurns(
  { found, messages, tokens, ids }: OpenChat,
  completionMask: Uint8Array,
  { train, stopIds, weights }: {
    readonly train: boolean;
    readonly stopIds: ReadonlySet<number>;
    readonly weights: readonly number[];
  },
): WeightSpan[] {
  if (found === null) {
    if (messages.every((message) => roleOf(message) !== "assistant")) return [];
    throw unfound();
  }
  const spans: WeightSpan[] = [];
  for (const { message, start, end } of found.turns) {
    const weight = weights[message]!;
    if (weight === 1 && !train) continue;
    const first = tokens.before(start).count;
    const through = tokens.through(end);
    // GLM's turns end with the next message's first token, at which its model stops: TRL also trains it.
    const stopsLater = stopIds.has(ids[through] ?? -1) &&
      !ids.slice(first, through).some((id) => stopIds.has(id));
    const after = stopsLater ? through + 1 : through;
    if (weight === 0 || train) completionMask.fill(weight === 0 ? 0 : 1, first, after);
    if (weight !== 0 && weight !== 1) spans.push({ start: first, end: after, weight });
  }
  return spans;
}

function unfound(): LoraFleetError {
  return new LoraFleetError(
    "invalid_dataset",
    `the base model's chat template writes other words for the same message when something else in the row changes, so ` +
      `the assistant's tokens cannot be told apart; split the row into prompt and completion (lists of messages), or set ` +
      `dataset.assistant_only_loss to false`,
  );
}
