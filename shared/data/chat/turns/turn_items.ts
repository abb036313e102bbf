/** A chat's skeleton (marks.ts) as items to align with its text (align.ts), with each turn's bounds among them. */
import type { Item } from "./align.ts";
import type { TemplateMessage } from "../template/chat_template.ts";
import { commonPrefix } from "./lexemes.ts";
import type { Mark, MarkedChat, Skeleton } from "./marks.ts";
import { roleOf } from "../messages/messages.ts";
import { type Render, skeletonOf, type TurnGap, type TurnSplits } from "./turn_splits.ts";

export type MarkedItem = Item & { readonly mark?: Mark };

interface TurnItems {
  readonly message: number;
  /** Indices of the items that open and close the turn. */
  readonly from: number;
  readonly to: number;
}

export interface Source {
  readonly messages: readonly TemplateMessage[];
  readonly render: Render;
  readonly key: string;
  readonly marked: MarkedChat;
  readonly skeleton: Skeleton;
  readonly splits: TurnSplits;
}

export function itemsOf(
  source: Source,
): { readonly items: readonly MarkedItem[]; readonly turns: readonly TurnItems[] } {
  const { messages, skeleton: { gaps, marks }, splits } = source;
  const items: MarkedItem[] = [];
  const turns: TurnItems[] = [];
  const seen = new Set<Mark>();
  const begun = new Set<number>();
  const literal = (text: string) => text !== "" && items.push({ kind: "literal", text });
  const write = (mark: Mark) => {
    seen.add(mark);
    items.push({ kind: "text", text: mark.original, mark });
  };
  /** @param first @param last indices of the turn's marks; @param head @param tail what of the gaps around is the turn's */
  const addTurn = (first: number, last: number, head: string, tail: string) => {
    const from = items.length;
    items.push({ kind: "turn", endsAt: -1 });
    literal(head);
    for (let i = first; i <= last; i++) {
      if (i > first) literal(gaps[i]!);
      write(marks[i]!);
    }
    literal(tail);
    turns.push({ message: marks[first]!.message, from, to: items.length });
    items[from] = { kind: "turn", endsAt: items.length };
    items.push({ kind: "end" });
  };

  /** What of the gap before `index` is not written yet: a turn may have taken its beginning. */
  let rest = gaps[0]!;
  for (let index = 0; index < marks.length;) {
    const mark = marks[index]!;
    const isTurn = roleOf(messages[mark.message]!) === "assistant" && !seen.has(mark);
    if (isTurn && !begun.has(mark.message)) {
      begun.add(mark.message);
      const last = index + marksOfTurn(source, index) - 1;
      const start = Math.max(
        0,
        splits.start(gapAt(source, mark.message, index)) - (gaps[index]!.length - rest.length),
      );
      const end = splits.end(gapAt(source, mark.message, last + 1));
      literal(rest.slice(0, start));
      addTurn(index, last, rest.slice(start), gaps[last + 1]!.slice(0, end));
      rest = gaps[last + 1]!.slice(end);
      index = last + 1;
      continue;
    }
    literal(rest);
    // What a message says after something else came between is its text alone.
    if (isTurn) addTurn(index, index, "", "");
    else write(mark);
    rest = gaps[index + 1]!;
    index++;
  }
  literal(rest);
  return { items, turns };
}

function gapAt({ marked, render, key, skeleton }: Source, turn: number, index: number): TurnGap {
  return {
    chat: marked,
    render,
    key,
    turn,
    gap: skeleton.gaps[index]!,
    before: skeleton.marks[index - 1] ?? null,
    after: skeleton.marks[index] ?? null,
  };
}

/**
 * How many marks from `first` on are the turn's. A template may write a called tool's name again in the tool's answer:
 * then the chat up to the turn shows what the turn itself has.
 */
function marksOfTurn({ marked, render, skeleton: { marks } }: Source, first: number): number {
  const turn = marks[first]!.message;
  let end = first;
  while (marks[end]?.message === turn) end++;
  const run = marks.slice(first, end).map(({ char }) => char);
  if (new Set(run).size === run.length) return run.length;
  const through = skeletonOf(() => render(marked.messages.slice(0, turn + 1), false), marked.marks);
  const own = through?.marks.filter(({ message }) => message === turn).map(({ char }) => char) ?? run;
  // Marks are pairs of UTF-16 units of one upper half: the prefix in units is that in marks, doubled and perhaps one more.
  return Math.max(1, Math.floor(commonPrefix(run.join(""), own.join("")) / 2));
}
