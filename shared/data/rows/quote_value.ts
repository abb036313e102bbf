/** Values of a row in error messages: as the file has them, but short. */
import { dumps } from "../../python/json/dumps.ts";
import type { PyValue } from "../../python/values/value.ts";

const MAX_CHARS = 80;

/**
 * The value as JSON, cut to 80 characters, so that a hostile row cannot flood a log. Integers keep their digits, `1.0`
 * its point; a lone surrogate appears as its escape, because no terminal or log can hold it.
 */
export function quoteValue(value: PyValue | undefined): string {
  if (value === undefined) return "undefined";
  const text = dumps(value).replace(/\p{Surrogate}/gu, (half) => `\\u${half.charCodeAt(0).toString(16)}`);
  return text.length <= MAX_CHARS ? text : `${text.slice(0, MAX_CHARS - 3)}...`;
}
