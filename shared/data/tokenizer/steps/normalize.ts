/**
 * Of the normalised text's beginning, how many UTF-16 units stem from the first character of what was normalised; 0 if
 * all of it was dropped. Metaspace asks for it: with the scheme "first" it changes what begins where the input begins.
 */
interface NormalizedStart {
  length: number;
}

export type Normalize = (text: string, start: NormalizedStart) => string;

/** The start of a text that no normalizer has seen. */
export function startOf(text: string): NormalizedStart {
  return { length: text === "" ? 0 : String.fromCodePoint(text.codePointAt(0)!).length };
}

/** A normalizer that changes characters in place: normalising the first one alone shows what becomes of it. */
export function mapping(map: (text: string) => string): Normalize {
  return (text, start) => {
    if (start.length > 0) start.length = Math.max(1, map(text.slice(0, start.length)).length);
    return map(text);
  };
}

/** `text.replace`, which keeps count of the start. `pattern` has the flag `g`. */
export function replaceAll(text: string, pattern: RegExp, content: string, start: NormalizedStart): string {
  const before = start.length;
  let lastEnd = -1;
  return text.replace(pattern, (match: string, ...rest: unknown[]) => {
    const offset = rest.find((value) => typeof value === "number")!;
    // The Rust binding of Oniguruma passes over an empty match where the last one ended.
    if (match === "" && offset === lastEnd) return "";
    lastEnd = offset + match.length;
    if (offset < before) start.length += content.length - Math.min(match.length, before - offset);
    return content;
  });
}
