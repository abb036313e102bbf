/** A chat rendered and tokenised, with its turns found: what a completion mask is made from. */
import { createHash } from "node:crypto";
import { dumps } from "../../../python/json/dumps.ts";
import type { PyValue } from "../../../python/values/value.ts";
import type { Hiding } from "../../tokenizer/special_text.ts";
import type { Tokenizer } from "../../tokenizer/tokenizer.ts";
import type { ChatTemplate, Rendered, TemplateMessage } from "../template/chat_template.ts";
import { createTurnSplits } from "../turns/turn_splits.ts";
import { findTurns, type FoundTurns, type RenderedChat } from "../turns/turns.ts";
import { createAnchors, isSeamless } from "./anchors.ts";
import { findLosses, type Loss } from "./dropped.ts";
import { createTokenCount, type TokenCount } from "./token_count.ts";

export interface Chat {
  readonly messages: readonly TemplateMessage[];
  readonly tools: readonly PyValue[] | null;
  /** The row's `chat_template_kwargs`. */
  readonly kwargs: ReadonlyMap<string, PyValue>;
}

export interface OpenChat extends RenderedChat, Pick<Rendered, "generated"> {
  readonly ids: readonly number[];
  readonly encode: (text: string) => number[];
  readonly found: FoundTurns | null;
  readonly tokens: TokenCount;
  /** What the template left out. */
  readonly losses: () => Loss[];
}

export function createChatOpener(
  tokenizer: Tokenizer,
  template: ChatTemplate,
  { splitSpecialTokens }: { readonly splitSpecialTokens: boolean },
): (chat: Chat) => OpenChat {
  const splits = createTurnSplits(tokenizer.specialTokens.bos);
  /** Computed after the first row is tokenised: a bounded tokenizer measures the first text that a row hands it. */
  let places: { readonly anchorsIn: ReturnType<typeof createAnchors>; readonly isSeamless: boolean } | null =
    null;
  return (chat) => {
    const strings = allStrings([...chat.messages, chat.tools, chat.kwargs] as PyValue);
    const context = [...strings, template.source].join("\n");
    const hiding = splitSpecialTokens ? tokenizer.specialText.hidingFor(context) : null;
    const { messages, tools, documents, kwargs } = hiddenIn(chat, hiding);
    const render = (some: readonly TemplateMessage[], addGenerationPrompt: boolean): Rendered =>
      template.render(some, { addGenerationPrompt, tools: tools as PyValue, documents, kwargs });
    const { text, generated } = render(messages, false);
    const options = {
      addSpecialTokens: false,
      splitSpecialTokens: false,
      ...(hiding === null ? {} : { hiding }),
    };
    const encode = (part: string) => tokenizer.encode(part, options);
    const ids = encode(text);
    places ??= { anchorsIn: createAnchors(tokenizer, template.source), isSeamless: isSeamless(tokenizer) };
    const reveal = (part: string) => hiding === null ? part : hiding.reveal(part);
    const rendered: RenderedChat = {
      messages,
      text,
      render: (some, addGenerationPrompt) => render(some, addGenerationPrompt).text,
      key: tools === null && chat.kwargs.size === 0 ? "" : digest([tools as PyValue, documents, kwargs]),
      context,
    };
    const found = findTurns(rendered, splits);
    const decode = (some: readonly number[]) => tokenizer.decode(some);
    const { anchorsIn, isSeamless: seamless } = places;
    return {
      ...rendered,
      generated,
      ids,
      encode,
      found,
      tokens: createTokenCount({
        text,
        ids,
        encode,
        reveal,
        decode,
        anchors: anchorsIn(text, ids),
        isSeamless: seamless,
      }),
      losses: () =>
        findLosses({ messages, tools, text }, found)
          .map((loss) => ({ ...loss, example: reveal(loss.example) })),
    };
  };
}

/** The chat with special tokens' strings hidden, and its `documents` apart from the other variables. */
function hiddenIn(chat: Chat, hiding: Hiding | null) {
  const hidden = <T>(value: T): T => hiding === null ? value : hideStrings(value as PyValue, hiding) as T;
  const { documents = null, ...variables } = Object.fromEntries(hidden(chat.kwargs));
  const kwargs = new Map(Object.entries(variables));
  return { messages: hidden(chat.messages), tools: hidden(chat.tools), documents, kwargs };
}

/** A short name for possibly kilobytes: it is part of every key that turn_splits.ts keeps. */
function digest(value: PyValue): string {
  return createHash("sha256").update(dumps(value)).digest("base64");
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
