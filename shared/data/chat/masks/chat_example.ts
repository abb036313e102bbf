/**
 * A chat → tokens and which of them are trained. Where the template marks the assistant's words itself
 * (`{% generation %}`), they are trained, as transformers' assistant mask has it; else the turns that turns.ts finds.
 */
import { createHash } from "node:crypto";
import { LoraFleetError } from "../../../errors.ts";
import { createAnchors, isSeamless } from "./anchors.ts";
import type { ChatTemplate, Rendered, TemplateMessage } from "../template/chat_template.ts";
import { findLosses, type Loss } from "./dropped.ts";
import type { Example } from "../../packing/example.ts";
import { commonPrefix } from "../turns/lexemes.ts";
import { isUnweighted, roleOf } from "../messages/messages.ts";
import { dumps } from "../../../python/json/dumps.ts";
import type { PyValue } from "../../../python/values/value.ts";
import type { Hiding } from "../../tokenizer/special_text.ts";
import { createTokenCount, type TokenCount } from "./token_count.ts";
import type { Tokenizer } from "../../tokenizer/tokenizer.ts";
import { createTurnSplits } from "../turns/turn_splits.ts";
import { findTurns, type FoundTurns, type RenderedChat } from "../turns/turns.ts";

/** What a row gives its template. */
export interface Chat {
  readonly messages: readonly TemplateMessage[];
  readonly tools: readonly PyValue[] | null;
  /** The row's `chat_template_kwargs`. */
  readonly kwargs: ReadonlyMap<string, PyValue>;
}

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
 * One encoder serves all rows of a template: what it learns about the template is kept. Throws `invalid_dataset` from its
 * methods where the template refuses a chat or a turn cannot be found in its text.
 * @param splitSpecialTokens encode special tokens' strings inside messages as plain text
 */
export function createChatEncoder(
  tokenizer: Tokenizer,
  template: ChatTemplate,
  { splitSpecialTokens }: { readonly splitSpecialTokens: boolean },
): ChatEncoder {
  const splits = createTurnSplits(tokenizer.specialTokens.bos);
  const stopIds = new Set(tokenizer.eosTokenIds);
  /** Asked once a whole row was tokenised: who measures rows looks at the first text that each hands to the tokenizer. */
  let places: { readonly anchorsIn: ReturnType<typeof createAnchors>; readonly isSeamless: boolean } | null =
    null;

  const open = ({ messages: original, tools: originalTools, kwargs: originalKwargs }: Chat): OpenChat => {
    const context = [...allStrings([...original, originalTools, originalKwargs] as PyValue), template.source]
      .join("\n");
    const hiding = splitSpecialTokens ? tokenizer.specialText.hidingFor(context) : null;
    const hidden = <T>(value: T): T => hiding === null ? value : hideStrings(value as PyValue, hiding) as T;
    const messages = hidden(original);
    const tools = hidden(originalTools);
    const { documents = null, ...variables } = Object.fromEntries(hidden(originalKwargs));
    const kwargs = new Map(Object.entries(variables));
    const render = (some: readonly TemplateMessage[], addGenerationPrompt: boolean): Rendered =>
      template.render(some, { addGenerationPrompt, tools: tools as PyValue, documents, kwargs });
    const { text, generated } = render(messages, false);
    const encode = (part: string) =>
      tokenizer.encode(part, {
        addSpecialTokens: false,
        splitSpecialTokens: false,
        ...(hiding === null ? {} : { hiding }),
      });
    const ids = encode(text);
    places ??= { anchorsIn: createAnchors(tokenizer, template.source), isSeamless: isSeamless(tokenizer) };
    const reveal = (part: string) => hiding === null ? part : hiding.reveal(part);
    const rendered: RenderedChat = {
      messages,
      text,
      render: (some, addGenerationPrompt) => render(some, addGenerationPrompt).text,
      key: tools === null && originalKwargs.size === 0 ? "" : digest([tools as PyValue, documents, kwargs]),
      context,
    };
    return {
      ...rendered,
      generated,
      ids,
      encode,
      found: findTurns(rendered, splits),
      tokens: createTokenCount({
        text,
        ids,
        encode,
        reveal,
        decode: (some) => tokenizer.decode(some),
        anchors: places.anchorsIn(text, ids),
        isSeamless: places.isSeamless,
      }),
      losses: (found) =>
        findLosses({ messages, tools, text }, found)
          .map((loss) => ({ ...loss, example: reveal(loss.example) })),
    };
  };

  return {
    encodeTurns(original, assistantOnly) {
      const chat = open(original);
      const completionMask = new Uint8Array(chat.ids.length).fill(assistantOnly ? 0 : 1);
      if (assistantOnly && template.hasGenerationBlocks) trainGenerated(chat, completionMask);
      const weighed = chat.messages.some((message) =>
        roleOf(message) === "assistant" && isUnweighted(message)
      );
      if (weighed || (assistantOnly && !template.hasGenerationBlocks)) {
        weighTurns(chat, completionMask, { train: assistantOnly && !template.hasGenerationBlocks, stopIds });
      }
      return {
        tokens: Uint32Array.from(chat.ids),
        completionMask,
        losses: chat.losses(chat.found),
        isPromptSplit: false,
      };
    },
    encodeCompletion(original, promptLength, completionOnly) {
      const chat = open(original);
      const completionMask = new Uint8Array(chat.ids.length).fill(1);
      // As in TRL, the completion starts where the tokens part.
      const prompt = chat.encode(chat.render(chat.messages.slice(0, promptLength), true));
      const shared = commonPrefix(prompt, chat.ids);
      if (completionOnly) completionMask.fill(0, 0, shared);
      return {
        tokens: Uint32Array.from(chat.ids),
        completionMask,
        losses: chat.losses(chat.found),
        isPromptSplit: completionOnly && shared < prompt.length,
      };
    },
  };
}

/** A short name for what may be kilobytes, since it is part of every key that turn_splits.ts keeps. */
function digest(value: PyValue): string {
  return createHash("sha256").update(dumps(value)).digest("base64");
}

interface OpenChat extends RenderedChat {
  readonly generated: Rendered["generated"];
  readonly ids: readonly number[];
  readonly encode: (text: string) => number[];
  readonly found: FoundTurns | null;
  readonly tokens: TokenCount;
  readonly losses: (found: FoundTurns | null) => Loss[];
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
    // GLM's turns end with the next message's first token, at which its model stops: TRL trains it, too.
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

/** Every text inside a value, keys included. */
export function* allStrings(value: PyValue): Generator<string> {
  if (typeof value === "string") yield value;
  else if (Array.isArray(value)) { for (const item of value) yield* allStrings(item); }
  else if (value instanceof Map) {
    for (const [key, field] of value) {
      yield key;
      yield* allStrings(field);
    }
  }
}

function hideStrings(value: PyValue, hiding: Hiding): PyValue {
  if (typeof value === "string") return hiding.hide(value);
  if (Array.isArray(value)) return value.map((item) => hideStrings(item, hiding));
  if (!(value instanceof Map)) return value;
  return new Map([...value].map(([key, field]) => [hiding.hide(key), hideStrings(field, hiding)]));
}
