/** Python counts texts in code points, JavaScript in UTF-16 units; they differ beyond U+FFFF. */

const SURROGATE = /[\ud800-\udfff]/;

/** Whether code points and UTF-16 units may differ. */
export function hasSurrogates(text: string): boolean {
  return SURROGATE.test(text);
}

export function codePointLength(text: string): number {
  if (!hasSurrogates(text)) return text.length;
  let length = 0;
  for (const _ of text) length++;
  return length;
}

/** The UTF-16 units of the first `count` code points. */
export function unitsOf(text: string, count: number): number {
  if (!hasSurrogates(text)) return count;
  let units = 0;
  for (let i = 0; i < count; i++) units += text.codePointAt(units)! > 0xffff ? 2 : 1;
  return units;
}
