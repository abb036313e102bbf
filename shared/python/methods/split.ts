/** `split`, `rsplit`, `splitlines`, `strip`: how Python takes texts apart. */
import { PyError } from "../values/value.ts";
import { isSpaceUnit } from "../text/whitespace.ts";

/** What ends a line for Python, besides "\r\n". */
const LINE_BREAK = "[\\n\\r\\v\\f\\x1c-\\x1e\\x85\\u2028\\u2029]";
const LINE = new RegExp(`${LINE_BREAK.replace("[", "[^")}*(?:\\r\\n|${LINE_BREAK}|$)`, "g");
const LINE_END = new RegExp(`(?:\\r\\n|${LINE_BREAK})$`);

export type Side = "left" | "right" | "both";

/** Takes white space away, or exactly the characters of `chars`. */
export function strip(text: string, chars: string | null, side: Side): string {
  if (chars === null) return stripSpace(text, side);
  const set = new Set(chars);
  const characters = Array.from(text);
  let start = 0;
  let end = characters.length;
  if (side !== "right") { while (start < end && set.has(characters[start]!)) start++; }
  if (side !== "left") { while (end > start && set.has(characters[end - 1]!)) end--; }
  return characters.slice(start, end).join("");
}

function stripSpace(text: string, side: Side): string {
  let start = 0;
  let end = text.length;
  if (side !== "right") start = skipSpace(text, start);
  if (side !== "left") { while (end > start && isSpaceUnit(text.charCodeAt(end - 1))) end--; }
  return text.slice(start, end);
}

function skipSpace(text: string, at: number): number {
  while (at < text.length && isSpaceUnit(text.charCodeAt(at))) at++;
  return at;
}

/** At each `separator`, or at runs of white space; at most `limit` times if it is not negative. */
export function split(text: string, separator: string | null, limit: number): string[] {
  if (separator === null) return splitSpace(text, limit);
  if (separator === "") throw new PyError("ValueError", "empty separator");
  const parts = text.split(separator);
  return limit < 0 || parts.length <= limit + 1
    ? parts
    : [...parts.slice(0, limit), parts.slice(limit).join(separator)];
}

function splitSpace(text: string, limit: number): string[] {
  const parts: string[] = [];
  let at = skipSpace(text, 0);
  while (at < text.length && (limit < 0 || parts.length < limit)) {
    let end = at;
    while (end < text.length && !isSpaceUnit(text.charCodeAt(end))) end++;
    parts.push(text.slice(at, end));
    at = skipSpace(text, end);
  }
  if (at < text.length) parts.push(text.slice(at));
  return parts;
}

/** `split` from the end. */
export function splitRight(text: string, separator: string | null, limit: number): string[] {
  if (limit < 0) return split(text, separator, limit);
  if (separator !== null) {
    const parts = split(text, separator, -1);
    const kept = parts.length - limit;
    return kept <= 1 ? parts : [parts.slice(0, kept).join(separator), ...parts.slice(kept)];
  }
  const parts: string[] = [];
  let rest = stripSpace(text, "right");
  while (rest !== "" && parts.length < limit) {
    let start = rest.length;
    while (start > 0 && !isSpaceUnit(rest.charCodeAt(start - 1))) start--;
    parts.push(rest.slice(start));
    rest = stripSpace(rest.slice(0, start), "right");
  }
  if (rest !== "") parts.push(rest);
  return parts.reverse();
}

export function splitLines(text: string, keepEnds: boolean): string[] {
  const lines = (text.match(LINE) ?? []).filter((line) => line !== "");
  return keepEnds ? lines : lines.map((line) => line.replace(LINE_END, ""));
}
