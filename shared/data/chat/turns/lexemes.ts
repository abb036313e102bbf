/**
 * Chat templates write markers: `<|end|>`, `[/INST]`, `</s>`, words. Two texts that begin alike may part inside a marker
 * (`<|endoftext|>` and `<|user|>`), although nothing of it is common to them in meaning.
 */

/** A marker in brackets, a word, or any other character. */
const LEXEME = /<\|[^|<>]{1,60}\|>|<[^<>\s]{1,60}>|\[[^[\]\s]{1,60}\]|[\p{L}\p{N}_]+|[^]/gu;

/** Length of what two texts have in common at their beginning, in whole lexemes. */
export function commonLexemes(left: string, right: string): number {
  let length = 0;
  const others = right.matchAll(LEXEME);
  for (const [lexeme] of left.matchAll(LEXEME)) {
    if (others.next().value?.[0] !== lexeme) break;
    length += lexeme.length;
  }
  return length;
}

export function firstLexeme(text: string): string {
  return text.match(LEXEME)?.[0] ?? "";
}

/** Length of what two texts or two lists of ids have in common at their beginning. */
export function commonPrefix<T extends string | readonly number[]>(left: T, right: T): number {
  const end = Math.min(left.length, right.length);
  let length = 0;
  while (length < end && left[length] === right[length]) length++;
  return length;
}

/** Length of what two texts have in common at their end. */
export function commonSuffix(left: string, right: string): number {
  const end = Math.min(left.length, right.length);
  let length = 0;
  while (length < end && left[left.length - 1 - length] === right[right.length - 1 - length]) length++;
  return length;
}
