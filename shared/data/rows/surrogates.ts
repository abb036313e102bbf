/**
 * Halves of surrogate pairs. JSON can escape one alone ("\ud83d"), but no text that UTF-8 can express holds it, and
 * tokenizers refuse it; decoders would replace it by U+FFFD.
 */
import { invalidLine } from "./row.ts";
import type { PyValue } from "../../python/values/value.ts";
import { quoteValue } from "./quote_value.ts";

/** Throws a `LoraFleetError` with code `invalid_dataset` that names the line and the place of the first lone surrogate. */
export function refuseLoneSurrogates(line: number, field: string, value: PyValue): void {
  const found = find(value, field);
  if (found === null) return;
  throw invalidLine(
    line,
    `has half of a surrogate pair in ${found.place}: ${quoteValue(found.text)}; no text can hold it. Write ` +
      `the whole character (such as "\\ud83d\\ude00") or leave it out`,
  );
}

function find(value: PyValue, place: string): { readonly place: string; readonly text: string } | null {
  if (typeof value === "string") return value.isWellFormed() ? null : { place, text: around(value) };
  if (Array.isArray(value)) {
    for (const [i, item] of value.entries()) {
      const found = find(item, `${place}[${i}]`);
      if (found !== null) return found;
    }
  }
  if (value instanceof Map) {
    for (const [key, field] of value) {
      if (!key.isWellFormed()) return { place: `a key of ${place}`, text: around(key) };
      const found = find(field, `${place}.${key}`);
      if (found !== null) return found;
    }
  }
  return null;
}

/** The lone surrogate with what stands beside it, so that a long text shows the place. */
function around(text: string): string {
  const at = /\p{Surrogate}/u.exec(text)?.index ?? 0;
  return text.slice(Math.max(0, at - 20), at + 20);
}
