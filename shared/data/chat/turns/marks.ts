/**
 * Which part of a rendered chat comes from which message: the chat is rendered once more with a private character in the
 * place of each text. Between these marks stands what the template writes by itself; a mark that does not come back is a
 * text that the template drops.
 */
import type { TemplateMessage } from "../template/chat_template.ts";
import { roleOf } from "../messages/messages.ts";
import type { PyValue } from "../../../python/values/value.ts";

type MarkKind = "content" | "reasoning" | "tool call";

export interface Mark {
  readonly char: string;
  readonly message: number;
  readonly kind: MarkKind;
  readonly original: string;
}

/** A rendered chat: `gaps[i]` stands before `marks[i]`, the last gap after them all. A mark may come more than once. */
export interface Skeleton {
  readonly gaps: readonly string[];
  readonly marks: readonly Mark[];
}

/** Where a message's reasoning may stand: one of them, since templates get it under the names that they read. */
const REASONING_FIELDS = ["reasoning_content", "thinking", "reasoning"];

/** Supplementary Private Use Area-B; special_text.ts uses A. */
const FIRST_CHAR = 0x100000;
const PRIVATE = /[\u{100000}-\u{10fffd}]/gu;

export interface MarkedChat {
  readonly messages: readonly TemplateMessage[];
  readonly marks: readonly Mark[];
}

export interface MarkOptions {
  readonly isMarked?: (message: TemplateMessage, index: number) => boolean;
  /** Also mark blank contents. */
  readonly blank?: boolean;
  /** Every text of the chat and the template: none of the marks occurs in it. */
  readonly context: string;
}

/**
 * Puts marks in the place of contents, reasoning and the names of called tools. Blank texts stay as they are, since
 * templates ask for them, unless `blank` is set or a message would get no mark.
 */
export function markMessages(
  messages: readonly TemplateMessage[],
  { isMarked = () => true, blank = false, context }: MarkOptions,
): MarkedChat {
  const taken = new Set(context.match(PRIVATE) ?? []);
  const marks: Mark[] = [];
  let code = FIRST_CHAR;
  const mark = (message: number, kind: MarkKind, original: string): string => {
    while (taken.has(String.fromCodePoint(code))) code++;
    const char = String.fromCodePoint(code++);
    marks.push({ char, message, kind, original });
    return char;
  };
  const marked = messages.map((message, index) =>
    isMarked(message, index)
      ? markMessage(message, blank, (kind, original) => mark(index, kind, original))
      : message
  );
  return { messages: marked, marks };
}

function markMessage(
  message: TemplateMessage,
  blank: boolean,
  mark: (kind: MarkKind, original: string) => string,
): TemplateMessage {
  const fields = new Map(message);
  let isMarked = false;
  const replace = (kind: MarkKind, text: string, mayBeBlank = false): string => {
    if (text.trim() === "" && !mayBeBlank) return text;
    isMarked = true;
    return mark(kind, text);
  };
  const reasoning = REASONING_FIELDS.map((name) => message.get(name)).find((value) =>
    typeof value === "string"
  );
  if (typeof reasoning === "string") {
    const replaced = replace("reasoning", reasoning);
    for (const name of REASONING_FIELDS) if (message.get(name) === reasoning) fields.set(name, replaced);
  }
  const calls = message.get("tool_calls");
  if (Array.isArray(calls) && roleOf(message) === "assistant") {
    fields.set("tool_calls", calls.map((call) => markCall(call, (name) => replace("tool call", name))));
  }
  const content = message.get("content");
  if (typeof content === "string") fields.set("content", replace("content", content, blank || !isMarked));
  if (Array.isArray(content)) {
    fields.set("content", content.map((part) => markPart(part, (text) => replace("content", text))));
  }
  return fields;
}

function markCall(call: PyValue, replace: (name: string) => string): PyValue {
  if (!(call instanceof Map)) return call;
  const called = call.get("function");
  if (called instanceof Map) return new Map([...call, ["function", markName(called, replace)]]);
  return markName(call, replace);
}

function markName(called: Map<string, PyValue>, replace: (name: string) => string): Map<string, PyValue> {
  const name = called.get("name");
  return typeof name === "string" ? new Map([...called, ["name", replace(name)]]) : called;
}

function markPart(part: PyValue, replace: (text: string) => string): PyValue {
  const text = part instanceof Map ? part.get("text") : undefined;
  return part instanceof Map && typeof text === "string" ? new Map([...part, ["text", replace(text)]]) : part;
}

/** A mark as it is, in JSON of ASCII alone, and as Python prints a text in a list. */
const WRITTEN = /[\u{100000}-\u{10fffd}]|\\udb[c-f][0-9a-f]\\ud[c-f][0-9a-f]{2}|\\U0010[0-9a-f]{4}/gu;

function waysToWrite(char: string): string[] {
  const units = [0, 1].map((i) => `\\u${char.charCodeAt(i).toString(16)}`).join("");
  return [char, units, `\\U00${char.codePointAt(0)!.toString(16)}`];
}

/** Takes a text that was rendered from marked messages apart. */
export function readSkeleton(text: string, marks: readonly Mark[]): Skeleton {
  const byChar = new Map(marks.flatMap((mark) => waysToWrite(mark.char).map((way) => [way, mark])));
  const gaps: string[] = [];
  const found: Mark[] = [];
  let start = 0;
  for (const match of text.matchAll(WRITTEN)) {
    const mark = byChar.get(match[0]);
    if (mark === undefined) continue;
    gaps.push(text.slice(start, match.index));
    found.push(mark);
    start = match.index + match[0].length;
  }
  return { gaps: [...gaps, text.slice(start)], marks: found };
}
