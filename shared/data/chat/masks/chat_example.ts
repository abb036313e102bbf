/**
 * A chat → tokens and their completion mask. If the template marks the assistant's words itself (`{% generation %}`), they
 * are trained, as transformers' assistant mask has it; otherwise the turns that turns.ts finds.
 */
import { LoraFleetError } from "../../../errors.ts";
import type { Example } from "../../packing/example.ts";
import { isUnweighted, roleOf } from "../messages/messages.ts";
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

export interface ChatEncoder {
  /** Trains the assistant's turns (each with the tokens that end it), or everything. A turn of weight 0 is context. */
  encodeTurns(chat: Chat, assistantOnly: boolean): EncodedChat;
  /** Trains what follows the first `promptLength` messages, or everything. */
  encodeCompletion(chat: Chat, promptLength: number, completionOnly: boolean): EncodedChat;
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
  const encoded = (chat: OpenChat, completionMask: Uint8Array, isPromptSplit: boolean): EncodedChat => ({
    tokens: Uint32Array.from(chat.ids),
    completionMask,
    losses: chat.losses(),
    isPromptSplit,
  });
  return {
    encodeTurns(original, assistantOnly) {
      const chat = open(original);
      const completionMask = new Uint8Array(chat.ids.length).fill(assistantOnly ? 0 : 1);
      if (assistantOnly && template.hasGenerationBlocks) trainGenerated(chat, completionMask);
      const train = assistantOnly && !template.hasGenerationBlocks;
      const hasUnweighted = chat.messages.some((message) =>
        roleOf(message) === "assistant" && isUnweighted(message)
      );
      if (hasUnweighted || train) weighTurns(chat, completionMask, { train, stopIds });
      return encoded(chat, completionMask, false);
    },
    encodeCompletion(original, promptLength, completionOnly) {
      const chat = open(original);
      const completionMask = new Uint8Array(chat.ids.length).fill(1);
      // As in TRL, the completion starts at the first token that differs.
      const prompt = chat.encode(chat.render(chat.messages.slice(0, promptLength), true));
      const shared = commonPrefix(prompt, chat.ids);
      if (completionOnly) completionMask.fill(0, 0, shared);
      return encoded(chat, completionMask, completionOnly && shared < prompt.length);
    },
  };
}

/** As transformers maps characters to tokens: from the one that holds the first to the one that holds the last. */
function trainGenerated({ generated, tokens }: OpenChat, completionMask: Uint8Array): void {
  for (const [start, end] of generated) {
    if (start < end) completionMask.fill(1, tokens.before(start).count, tokens.through(end));
  }
}

/** Trains the turns, or only takes those of weight 0 out. */
function weighTurns(
  { found, messages, tokens, ids }: OpenChat,
  completionMask: Uint8Array,
  { train, stopIds }: { readonly train: boolean; readonly stopIds: ReadonlySet<number> },
): void {
  if (found === null) {
    if (messages.every((message) => roleOf(message) !== "assistant")) return;
    throw unfound();
  }
  for (const { message, start, end } of found.turns) {
    const value = isUnweighted(messages[message]!) ? 0 : 1;
    if (value === 1 && !train) continue;
    const first = tokens.before(start).count;
    const through = tokens.through(end);
    // GLM's turns end with the next message's first token, at which its model stops: TRL also trains it.
    const stopsLater = stopIds.has(ids[through] ?? -1) &&
      !ids.slice(first, through).some((id) => stopIds.has(id));
    completionMask.fill(value, first, stopsLater ? through + 1 : through);
  }
}

function unfound(): LoraFleetError {
  return new LoraFleetError(
    "invalid_dataset",
    `the base model's chat template writes other words for the same message when something else in the row changes, so ` +
      `the assistant's tokens cannot be told apart; split the row into prompt and completion (lists of messages), or set ` +
      `dataset.assistant_only_loss to false`,
  );
}
