/**
 * Finds in a chat's text what its skeleton (marks.ts) says must be there: literals, the messages' own texts (perhaps
 * trimmed), and turns. A text that the template changed, and a turn as a whole, may be anything that ends where the next
 * literal begins.
 */

/** What stands in a text, one after the other. A turn's items stand between its `turn` and its `end`. */
export type Item =
  | { readonly kind: "literal"; readonly text: string }
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "turn"; readonly endsAt: number }
  | { readonly kind: "end" };

interface Alignment {
  /** Where each item begins; one more for the text's end. Items inside a turn of other words have null. */
  readonly starts: readonly (number | null)[];
}

/** An item, where it begins, and what is not tried yet. */
interface Step {
  readonly item: number;
  readonly at: number;
  readonly options: Iterator<readonly [item: number, at: number]>;
}

/** The first alignment that reaches the text's end, with as few changed texts as possible at the front; or null. */
export function align(text: string, items: readonly Item[]): Alignment | null {
  const failed = new Set<string>();
  const steps: Step[] = [{ item: 0, at: 0, options: optionsFor(text, items, 0, 0) }];
  while (steps.length > 0) {
    const { item, at, options } = steps.at(-1)!;
    if (item === items.length && at === text.length) return { starts: startsOf(steps, items.length) };
    const next = options.next();
    if (next.done === true) {
      failed.add(`${item} ${at}`);
      steps.pop();
      continue;
    }
    const [nextItem, nextAt] = next.value;
    if (failed.has(`${nextItem} ${nextAt}`)) continue;
    steps.push({ item: nextItem, at: nextAt, options: optionsFor(text, items, nextItem, nextAt) });
  }
  return null;
}

function* optionsFor(
  text: string,
  items: readonly Item[],
  index: number,
  at: number,
): Generator<readonly [number, number]> {
  const item = items[index];
  if (item === undefined) return;
  if (item.kind === "literal") {
    if (text.startsWith(item.text, at)) yield [index + 1, at + item.text.length];
    return;
  }
  if (item.kind === "end") {
    yield [index + 1, at];
    return;
  }
  if (item.kind === "turn") yield [index + 1, at];
  else {
    for (const form of trimmedForms(item.text)) {
      if (text.startsWith(form, at)) yield [index + 1, at + form.length];
    }
  }
  const after = item.kind === "turn" ? item.endsAt : index + 1;
  for (const end of possibleEnds(text, items, after, at)) yield [after, end];
}

/** Where something that begins at `at` may end, by the literal that has to follow. */
function* possibleEnds(text: string, items: readonly Item[], after: number, at: number): Generator<number> {
  let index = after;
  while (items[index]?.kind === "end" || items[index]?.kind === "turn") index++;
  const next = items[index];
  if (next === undefined) {
    yield text.length;
    return;
  }
  if (next.kind !== "literal" || next.text === "") return;
  for (let end = text.indexOf(next.text, at); end !== -1; end = text.indexOf(next.text, end + 1)) yield end;
}

function trimmedForms(text: string): Set<string> {
  return new Set([text, text.trim(), text.trimEnd(), text.trimStart()]);
}

function startsOf(steps: readonly Step[], count: number): (number | null)[] {
  const starts: (number | null)[] = new Array(count + 1).fill(null);
  for (const { item, at } of steps) starts[item] = at;
  return starts;
}
