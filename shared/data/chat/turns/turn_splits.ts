/**
 * Where, in what a template writes between two messages, the assistant's turn begins and ends: it begins after the words
 * that make a model answer (the generation prompt), and it ends with what closes the turn.
 */
import { LoraFleetError } from "../../../errors.ts";
import type { TemplateMessage } from "../template/chat_template.ts";
import { commonLexemes, commonPrefix, firstLexeme } from "./lexemes.ts";
import { type Mark, type MarkedChat, readSkeleton, type Skeleton } from "./marks.ts";
import { roleOf } from "../messages/messages.ts";

/** Renders messages as a chat's other ones are rendered (the same tools and variables). */
export type Render = (messages: readonly TemplateMessage[], addGenerationPrompt: boolean) => string;

export interface TurnGap {
  readonly chat: MarkedChat;
  readonly render: Render;
  /** What `render` depends on beside the messages. */
  readonly key: string;
  readonly turn: number;
  readonly gap: string;
  /** The mark before the gap and the one after it; null at the chat's ends. */
  readonly before: Mark | null;
  readonly after: Mark | null;
}

export interface TurnSplits {
  /** How much of the gap before a turn is not the turn's. */
  start(place: TurnGap): number;
  /** How much of the gap after a turn is the turn's. */
  end(place: TurnGap): number;
}

/** Longer gaps hold texts of their rows: there is no use in keeping what they are split into. */
const MAX_KEPT_GAP = 400;
const MAX_KEPT = 10_000;

/** @param bosText what may stand before any chat */
export function createTurnSplits(bosText: string | null): TurnSplits {
  const kept = new Map<string, number>();
  const openings = new Map<string, string | null>();

  /** The same gap between the same roles is split in the same way, whatever the row: rendered once. */
  const keep = (kind: string, place: TurnGap, compute: () => number): number => {
    const { chat: { messages }, turn, gap, before, after } = place;
    if (gap.length > MAX_KEPT_GAP) return compute();
    const roles = [messages[turn - 1], messages[turn + 1]].map((message) => message && roleOf(message));
    const key = JSON.stringify([kind, place.key, roles, before?.kind, after?.kind, gap]);
    let split = kept.get(key);
    if (split === undefined) {
      split = compute();
      if (kept.size < MAX_KEPT) kept.set(key, split);
    }
    return split;
  };

  /** What stands before the text of a message of that role which begins a chat: its header. Null if unknown. */
  const openingOf = ({ render, key }: TurnGap, role: string): string | null => {
    const id = JSON.stringify([key, role]);
    let opening = openings.get(id);
    if (opening === undefined) {
      const lone = new Map([["role", role], ["content", PROBE.char]]);
      const skeleton = skeletonOf(() => render([lone], false), [PROBE]);
      const head = skeleton === null || skeleton.marks.length === 0 ? null : skeleton.gaps[0]!;
      opening = head !== null && bosText !== null && head.startsWith(bosText)
        ? head.slice(bosText.length)
        : head;
      openings.set(id, opening);
    }
    return opening;
  };

  return {
    start: (place) => keep("start", place, () => splitStart(place)),
    end: (place) => keep("end", place, () => splitEnd(place, openingOf) ?? endBefore(place, bosText)),
  };
}

const PROBE: Mark = { char: "\u{10fff0}", message: 0, kind: "content", original: "" };
const ANSWER: Mark = { char: "\u{10fff1}", message: 1, kind: "content", original: "" };

/** A generation prompt may open the model's thoughts: they are the model's turn, as in TRL's training templates. */
const OPENED_THOUGHTS = /(?:<(?:\w+:)?think(?:ing)?>|\[THINK\])[^]*$/;

function splitStart(place: TurnGap): number {
  const { chat, render, turn, gap, before } = place;
  const asked = skeletonOf(() => render(chat.messages.slice(0, turn), true), chat.marks);
  if (asked !== null && asked.marks.at(-1)?.char === before?.char) {
    const prompt = asked.gaps.at(-1)!.replace(OPENED_THOUGHTS, "");
    const split = commonLexemes(prompt, gap);
    // A chat without messages may lack what the template writes before the first one.
    if (turn > 0 || (prompt !== "" && split === prompt.length)) return split;
  }
  // The chat up to here shows nothing: what the template writes between header and text in a small chat does.
  const between = turn === 1 && chat.messages.length === 2 ? "" : textAfterHeader(place);
  return gap.endsWith(between) ? gap.length - between.length : gap.length;
}

/** What a template writes after the generation prompt and before the assistant's text in a chat of two messages. */
function textAfterHeader({ render, key }: TurnGap): string {
  const messages = [PROBE, ANSWER].map(({ char }, index) =>
    new Map([["role", index === 0 ? "user" : "assistant"], ["content", char]])
  );
  const marks = [PROBE, ANSWER];
  const whole = skeletonOf(() => render(messages, false), marks);
  if (whole === null || whole.marks.length !== 2 || whole.marks[0] !== PROBE) return "";
  const gap = whole.gaps[1]!;
  const split = splitStart({
    chat: { messages, marks },
    render,
    key,
    turn: 1,
    gap,
    before: PROBE,
    after: ANSWER,
  });
  return gap.slice(split);
}

/** Null if the template refuses the chat up to the turn, or ends the turn in other words there. */
function splitEnd(place: TurnGap, openingOf: (place: TurnGap, role: string) => string | null): number | null {
  const { chat, render, turn, gap, before, after } = place;
  if (after === null && turn === chat.messages.length - 1) return gap.length;
  const through = skeletonOf(() => render(chat.messages.slice(0, turn + 1), false), chat.marks);
  const last = through?.marks.findLastIndex(({ char }) => char === before?.char) ?? -1;
  if (through === null || last === -1) return null;
  const tail = through.gaps[last + 1]!;
  const next = after === null ? undefined : chat.messages[after.message];
  const opening = next === undefined ? null : openingOf(place, roleOf(next));
  if (opening !== null && opening !== "" && gap.endsWith(opening)) {
    const split = gap.length - opening.length;
    // What ends a finished chat may begin as the next header does: the header's length decides.
    if (split <= commonPrefix(tail, gap)) return split;
  }
  const split = commonLexemes(tail, gap);
  return split > 0 || tail === "" ? split : null;
}

/** The turn's end is what stands before the next message, which opens as the whole chat does (gpt-oss: `<|start|>`). */
function endBefore({ chat, render, gap }: TurnGap, bosText: string | null): number {
  const text = render(chat.messages, false);
  const opener = firstLexeme(
    bosText !== null && text.startsWith(bosText) ? text.slice(bosText.length) : text,
  );
  const end = Math.max(0, gap.indexOf(opener));
  return gap.slice(0, end).trim() === "" ? 0 : end;
}

/** Null if the template refuses. */
export function skeletonOf(render: () => string, marks: readonly Mark[]): Skeleton | null {
  try {
    return readSkeleton(render(), marks);
  } catch (error) {
    if (error instanceof LoraFleetError && error.code === "invalid_dataset") return null;
    throw error;
  }
}
