/**
 * Finds the assistant's turns in a chat's text. Templates do not say which text is whose, so the chat is rendered again
 * with marks in the place of its texts (marks.ts): what stands between them shows where turns begin and end
 * (turn_splits.ts), and the text is matched with that (align.ts). Nothing is assumed about what precedes a turn, so a
 * template may move or drop other messages as it likes.
 */
import type { TemplateMessage } from "../template/chat_template.ts";
import { align } from "./align.ts";
import { commonPrefix, commonSuffix } from "./lexemes.ts";
import { type Mark, markMessages, type MarkOptions } from "./marks.ts";
import { itemsOf, type MarkedItem } from "./turn_items.ts";
import { roleOf } from "../messages/messages.ts";
import { type Render, skeletonOf, type TurnSplits } from "./turn_splits.ts";

export interface RenderedChat {
  readonly messages: readonly TemplateMessage[];
  readonly text: string;
  readonly render: Render;
  /** What `render` depends on beside the messages. */
  readonly key: string;
  /** Every text of the chat and its template. */
  readonly context: string;
}

/** A turn's own text: [start, end) of the chat's. A message may have several (gemma writes answers of tools between). */
interface Turn {
  readonly message: number;
  readonly start: number;
  readonly end: number;
}

/** What became of a message's text in the chat's text: it is there (perhaps trimmed), in other words, or not at all. */
interface MarkedPlace {
  readonly mark: Mark;
  readonly state: "kept" | "changed" | "absent";
}

export interface FoundTurns {
  readonly turns: readonly Turn[];
  readonly places: readonly MarkedPlace[];
}

/** Null if the turns cannot be told apart. */
export function findTurns(chat: RenderedChat, splits: TurnSplits): FoundTurns | null {
  let partly: FoundTurns | null = null;
  for (const options of MARKINGS) {
    const found = tryMarks(chat, splits, { ...options, context: chat.context });
    if (found === null) continue;
    const messages = new Set(found.turns.map(({ message }) => message));
    if (messages.size === chat.messages.filter(isAssistant).length) return found;
    partly ??= found;
  }
  return partly;
}

const isAssistant = (message: TemplateMessage) => roleOf(message) === "assistant";

/**
 * What is tried in turn. A template that leaves out calls of tools shows an empty content only by its own mark; one that
 * looks into a user's text may refuse a mark there.
 */
const MARKINGS: readonly Omit<MarkOptions, "context">[] = [
  {},
  { blank: true },
  { isMarked: isAssistant },
  { isMarked: isAssistant, blank: true },
];

function tryMarks(chat: RenderedChat, splits: TurnSplits, options: MarkOptions): FoundTurns | null {
  const marked = markMessages(chat.messages, options);
  const skeleton = skeletonOf(() => chat.render(marked.messages, false), marked.marks);
  if (skeleton === null) return null;
  const { items, turns } = itemsOf({ ...chat, marked, skeleton, splits });
  const alignment = align(chat.text, items);
  if (alignment === null) return null;
  const found = turns.map(({ message, from, to }) => ({
    message,
    start: alignment.starts[from]!,
    end: alignment.starts[to]!,
    isExact: items.slice(from, to).every((_, i) => alignment.starts[from + i] !== null),
  }));
  if (!found.every((turn) => turn.isExact || isConfirmed(chat, turn))) return null;
  return { turns: found, places: placesOf(chat.text, marked.marks, items, alignment.starts) };
}

/** Whether all that the message changes in the chat's text lies in its turn. */
function isConfirmed(chat: RenderedChat, { message, start, end }: Turn): boolean {
  const alone = markMessages(chat.messages, {
    isMarked: (_, index) => index === message,
    context: chat.context,
  });
  const skeleton = skeletonOf(() => chat.render(alone.messages, false), alone.marks);
  if (skeleton === null) return false;
  const parts = skeleton.marks.flatMap(({ char }, i) => [skeleton.gaps[i]!, char]);
  const text = [...parts, skeleton.gaps.at(-1)!].join("");
  return commonPrefix(text, chat.text) >= start && commonSuffix(text, chat.text) >= chat.text.length - end;
}

function placesOf(
  text: string,
  marks: readonly Mark[],
  items: readonly MarkedItem[],
  starts: readonly (number | null)[],
): MarkedPlace[] {
  const ranges = new Map<string, (readonly [number | null, number | null])[]>();
  items.forEach(({ mark }, index) => {
    if (mark === undefined) return;
    ranges.set(mark.char, [...ranges.get(mark.char) ?? [], [
      starts[index] ?? null,
      starts[index + 1] ?? null,
    ]]);
  });
  return marks.map((mark) => {
    const found = ranges.get(mark.char);
    if (found === undefined) return { mark, state: "absent" };
    const isKept = found.some(([start, end]) =>
      start !== null && end !== null && text.slice(start, end).trim() === mark.original.trim()
    );
    return { mark, state: isKept ? "kept" : "changed" };
  });
}
