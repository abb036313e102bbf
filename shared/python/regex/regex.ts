/**
 * Python's `re.fullmatch`, in time that no pattern can make explode: instead of trying one way after the other, the set of all
 * positions that a part of the pattern can reach is computed, once for each part and position.
 */
import { LoraFleetError } from "../../errors.ts";
import type { Node } from "./node.ts";
import { parseRegex } from "./parse.ts";

/** Steps over all texts that one compiled pattern is matched with; a pattern that a person wrote takes thousands. */
const MAX_STEPS = 2_000_000;

/**
 * Compiles a pattern; the result decides whether it matches the whole of a text. Both throw a `LoraFleetError` with code
 * `invalid_request` and no `param`: for a pattern that Python refuses or that is not supported, and for one that takes too long.
 */
export function compileFullMatch(pattern: string): (text: string) => boolean {
  const root = parseRegex(pattern);
  const budget = { steps: MAX_STEPS };
  return (text) => new Matcher(text, budget).from(root, 0).has(text.length);
}

class Matcher {
  readonly #text: string;
  readonly #budget: { steps: number };
  /** By node: the positions that it reaches from each position. */
  readonly #known = new Map<Node, (ReadonlySet<number> | undefined)[]>();

  constructor(text: string, budget: { steps: number }) {
    this.#text = text;
    this.#budget = budget;
  }

  /** Where a match of `node` that begins at `position` can end. */
  from(node: Node, position: number): ReadonlySet<number> {
    let ends = this.#known.get(node);
    if (ends === undefined) this.#known.set(node, ends = []);
    return ends[position] ??= this.#compute(node, position);
  }

  #compute(node: Node, position: number): ReadonlySet<number> {
    const here = (holds: boolean) => new Set(holds ? [position] : []);
    switch (node.kind) {
      case "set": {
        const holds = position < this.#text.length && node.has(this.#text.charCodeAt(position));
        return new Set(holds ? [position + 1] : []);
      }
      case "at":
        return here(node.holds(this.#text, position));
      case "sequence":
        return node.items.reduce<ReadonlySet<number>>(
          (starts, item) => this.#fromAll(item, starts),
          here(true),
        );
      case "choice":
        return new Set(node.options.flatMap((option) => [...this.from(option, position)]));
      case "look": {
        const found = node.behind
          ? Array.from({ length: position + 1 }, (_, start) => start).some((start) =>
            this.from(node.item, start).has(position)
          )
          : this.from(node.item, position).size > 0;
        return here(found !== node.negated);
      }
      case "repeat":
        return this.#repeat(node, position);
    }
  }

  /** A match consumes at most the text, so counts beyond its length change nothing. */
  #repeat({ item, min, max }: Extract<Node, { kind: "repeat" }>, position: number): ReadonlySet<number> {
    const cap = this.#text.length + 1;
    let starts: ReadonlySet<number> = new Set([position]);
    for (let count = 0; count < Math.min(min, cap) && starts.size > 0; count++) {
      starts = this.#fromAll(item, starts);
    }
    const reached = new Set(starts);
    for (let count = min; count < Math.min(max, min + cap) && starts.size > 0; count++) {
      starts = new Set([...this.#fromAll(item, starts)].filter((end) => !reached.has(end)));
      for (const end of starts) reached.add(end);
    }
    return reached;
  }

  #fromAll(node: Node, starts: ReadonlySet<number>): ReadonlySet<number> {
    const ends = new Set<number>();
    for (const start of starts) {
      for (const end of this.from(node, start)) {
        if (this.#budget.steps-- <= 0) {
          throw new LoraFleetError("invalid_request", "the pattern takes too long to match");
        }
        ends.add(end);
      }
    }
    return ends;
  }
}
