/** How a text falls apart at what a pattern finds: tokenizers' `SplitDelimiterBehavior`. */
type SplitBehavior =
  | "Removed"
  | "Isolated"
  | "MergedWithPrevious"
  | "MergedWithNext"
  | "Contiguous";

/** Cuts `text` at the matches of `pattern` (flags `gu`); `invert` makes delimiters of what lies between them. */
export function splitText(text: string, pattern: RegExp, behavior: SplitBehavior, invert: boolean): string[] {
  if (behavior === "Isolated" || (behavior === "Removed" && invert)) {
    const matches: string[] = text.match(pattern) ?? [];
    if (behavior === "Removed") return matches.filter((piece) => piece !== "");
    let length = 0;
    for (const { length: size } of matches) length += size;
    // Nothing lies between the matches, as with most patterns.
    if (length === text.length && !matches.includes("")) return matches;
  }
  const spans = spansOf(text, pattern, invert);
  return mergeSpans(spans, behavior).map(({ start, end }) => text.slice(start, end))
    .filter((piece) => piece !== "");
}

interface Span {
  readonly start: number;
  readonly end: number;
  readonly isMatch: boolean;
}

/** Covers the text: matches and what lies between them. */
function spansOf(text: string, pattern: RegExp, invert: boolean): Span[] {
  const spans: Span[] = [];
  let previous = 0;
  let lastEnd = -1;
  for (const { 0: match, index } of text.matchAll(pattern)) {
    const end = index + match.length;
    // The Rust binding of Oniguruma passes over an empty match where the last one ended.
    if (match === "" && index === lastEnd) continue;
    if (index > previous) spans.push({ start: previous, end: index, isMatch: invert });
    spans.push({ start: index, end, isMatch: !invert });
    previous = end;
    lastEnd = end;
  }
  if (previous < text.length) spans.push({ start: previous, end: text.length, isMatch: invert });
  return spans;
}

function mergeSpans(spans: readonly Span[], behavior: SplitBehavior): readonly Span[] {
  if (behavior === "Isolated") return spans;
  if (behavior === "Removed") return spans.filter(({ isMatch }) => !isMatch);
  const forwards = behavior !== "MergedWithNext";
  const merged: Span[] = [];
  let previousMatch = false;
  for (const span of forwards ? spans : spans.toReversed()) {
    const last = merged.at(-1);
    const joins = behavior === "Contiguous" ? span.isMatch === previousMatch : span.isMatch && !previousMatch;
    if (joins && last !== undefined) {
      merged[merged.length - 1] = forwards ? { ...last, end: span.end } : { ...last, start: span.start };
    } else {
      merged.push(span);
    }
    previousMatch = span.isMatch;
  }
  return forwards ? merged : merged.reverse();
}
