/** What Python's `str.isspace`, `strip()`, `split()` and `\s` take for white space (JavaScript's `\s` differs). */
export const SPACE_CLASS =
  "[\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]";

const SPACE = new RegExp(`^${SPACE_CLASS}$`);

/** Of one UTF-16 unit. */
export function isSpace(unit: string): boolean {
  return SPACE.test(unit);
}
