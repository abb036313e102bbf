/**
 * What a chat template leaves out of a row: reasoning of earlier turns, system messages, calls of tools. The row is
 * trained without it, as transformers would, but its author has to know. Templates may trim, wrap or JSON-encode a text;
 * that is no loss.
 */
import type { TemplateMessage } from "../template/chat_template.ts";
import { markMessages } from "../turns/marks.ts";
import { roleOf } from "../messages/messages.ts";
import { dumps } from "../../../python/json/dumps.ts";
import { parseJson } from "../../../python/json/parse_json.ts";
import { repr, str } from "../../../python/values/repr.ts";
import type { PyValue } from "../../../python/values/value.ts";
import type { FoundTurns } from "../turns/turns.ts";

export interface Loss {
  /** What is lost, for a sentence: "the text of system messages". */
  readonly what: string;
  /** From 1; null for what belongs to no message. */
  readonly message: number | null;
  readonly example: string;
}

interface RenderedRow {
  readonly messages: readonly TemplateMessage[];
  readonly tools: readonly PyValue[] | null;
  readonly text: string;
}

/** @param found what became of the messages' texts, where that is known */
export function findLosses(row: RenderedRow, found: FoundTurns | null): Loss[] {
  const search = createSearch(row.text);
  const turns = new Map<number, Search>();
  /** A turn's text is searched for in the turn: a different turn may contain the same. */
  const searchOf = (message: number): Search => {
    const own = found?.turns.filter((turn) => turn.message === message) ?? [];
    if (own.length === 0) return search;
    const known = turns.get(message) ??
      createSearch(own.map(({ start, end }) => row.text.slice(start, end)).join("\n"));
    turns.set(message, known);
    return known;
  };
  const known = found?.places ??
    markMessages(row.messages, { context: "" }).marks.map((mark) => ({ mark, state: "changed" as const }));
  const losses: Loss[] = [];
  for (const { mark: { message, kind, original }, state } of known) {
    if (state === "kept" || original.trim() === "") continue;
    const missing = state === "absent" ? original.trim() : searchOf(message).missingPart(original);
    if (missing === null) continue;
    losses.push({
      what: describe(row.messages[message]!, kind, original, missing),
      message: message + 1,
      example: missing,
    });
  }
  return [...losses, ...lostArguments(row, search), ...lostTools(row, search)];
}

function describe(message: TemplateMessage, kind: string, original: string, missing: string): string {
  if (kind === "reasoning") return "the assistant's reasoning";
  if (kind === "tool call") return "the assistant's tool calls";
  const role = roleOf(message);
  if (role !== "assistant") return `the text of ${role} messages`;
  const thoughts = original.lastIndexOf("</think>");
  const isThought = thoughts !== -1 && original.indexOf(missing) < thoughts;
  return isThought ? "the assistant's reasoning" : "the assistant's text";
}

function lostArguments({ messages }: RenderedRow, search: Search): Loss[] {
  return messages.flatMap((message, index) => {
    const calls = message.get("tool_calls");
    if (!Array.isArray(calls) || roleOf(message) !== "assistant") return [];
    const missing = calls.flatMap((call) => leavesOf(argumentsOf(call)))
      .find((leaf) => search.missingPart(leaf) !== null);
    if (missing === undefined) return [];
    return [{ what: "the assistant's tool calls", message: index + 1, example: missing }];
  });
}

function argumentsOf(call: PyValue): PyValue {
  if (!(call instanceof Map)) return null;
  const called = call.get("function");
  return (called instanceof Map ? called : call).get("arguments") ?? null;
}

function lostTools({ tools }: RenderedRow, search: Search): Loss[] {
  for (const tool of tools ?? []) {
    if (!(tool instanceof Map)) continue;
    const inner = tool.get("function");
    const described = inner instanceof Map ? inner : tool;
    for (const field of ["name", "description"]) {
      const text = described.get(field);
      const missing = typeof text === "string" ? search.missingPart(text) : null;
      if (missing !== null) return [{ what: "the descriptions of tools", message: null, example: missing }];
    }
  }
  return [];
}

/** The texts and numbers inside a value; a text that is JSON counts as what it says. */
function leavesOf(value: PyValue): string[] {
  if (typeof value === "string") {
    const decoded = decodeStructure(value);
    return decoded === null ? [value] : leavesOf(decoded);
  }
  if (typeof value === "bigint" || typeof value === "number") return [str(value)];
  if (Array.isArray(value)) return value.flatMap(leavesOf);
  return value instanceof Map ? [...value.values()].flatMap(leavesOf) : [];
}

function decodeStructure(text: string): PyValue {
  if (!/^\s*[[{]/.test(text)) return null;
  try {
    return parseJson(text);
  } catch {
    return null;
  }
}

interface Search {
  /** A part of a text that is not in the chat, in whatever way it is written there; null if all of it is. */
  missingPart(text: string): string | null;
}

function createSearch(text: string): Search {
  let squashedText: string | null = null;
  const has = (part: string): boolean => {
    if (text.includes(part.trim())) return true;
    squashedText ??= squash(text);
    return waysToWrite(part).some((way) => squashedText!.includes(squash(way)));
  };
  return {
    missingPart(part) {
      if (has(part)) return null;
      const decoded = decodeStructure(part);
      if (decoded !== null) return leavesOf(decoded).find((leaf) => !has(leaf)) ?? null;
      // A tag alone may be written differently ("<think>"); what stands between tags may not be lost.
      const lines = part.split(/\r?\n|(<\/?think>)/).filter((line) => line !== undefined && !isBareTag(line));
      return lines.find((line) => !has(line))?.trim() ?? null;
    },
  };
}

function isBareTag(line: string): boolean {
  return /^\s*(<\/?[^<>\s]{1,40}>)?\s*$/.test(line);
}

/** Without white space, which templates add and take away. */
function squash(text: string): string {
  return text.replace(/\s+/gu, "");
}

function waysToWrite(text: string): string[] {
  const inner = (quoted: string) => quoted.slice(1, -1);
  const escaped = text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
  return [text, inner(dumps(text)), inner(dumps(text, { ensureAscii: true })), inner(repr(text)), escaped];
}
