/**
 * Subscriptions by subject with NATS's wildcards: `*` is any one token, a `>` at the end is one or more. A tree over the
 * tokens, so that a publish costs its own length and not the number of subscriptions.
 */
interface SubjectTree<T> {
  /** Returns its removal; calling that again changes nothing. */
  add(pattern: string, value: T): () => void;
  /** All values with a matching pattern, in the order of addition. */
  match(subject: string): T[];
}

interface Leaf<T> {
  readonly order: number;
  readonly value: T;
}

class Branch<T> {
  readonly next = new Map<string, Branch<T>>();
  readonly leaves = new Set<Leaf<T>>();
  /** Leaves of patterns that end in `>` here. */
  readonly rest = new Set<Leaf<T>>();
}

export function createSubjectTree<T>(): SubjectTree<T> {
  const root = new Branch<T>();
  let added = 0;

  function add(pattern: string, value: T): () => void {
    const tokens = pattern.split(".");
    const path = [root];
    const takesRest = tokens.at(-1) === ">";
    for (const token of takesRest ? tokens.slice(0, -1) : tokens) {
      const branch = path.at(-1)!;
      if (!branch.next.has(token)) branch.next.set(token, new Branch());
      path.push(branch.next.get(token)!);
    }
    const leaf = { order: added++, value };
    const leaves = takesRest ? path.at(-1)!.rest : path.at(-1)!.leaves;
    leaves.add(leaf);
    return () => {
      // By the second call a new branch may stand in the place of the pruned one.
      if (!leaves.delete(leaf)) return;
      for (let depth = path.length - 1; depth > 0; depth--) {
        const { leaves, rest, next } = path[depth]!;
        if (leaves.size + rest.size + next.size > 0) break;
        path[depth - 1]!.next.delete(tokens[depth - 1]!);
      }
    };
  }

  function match(subject: string): T[] {
    const tokens = subject.split(".");
    const found: Leaf<T>[] = [];
    let groups = 0;
    const take = (leaves: ReadonlySet<Leaf<T>>): void => {
      if (leaves.size > 0) groups++;
      for (const leaf of leaves) found.push(leaf);
    };
    const visit = (branch: Branch<T>, depth: number): void => {
      if (depth === tokens.length) return take(branch.leaves);
      take(branch.rest);
      const named = branch.next.get(tokens[depth]!);
      const any = branch.next.get("*");
      if (named !== undefined) visit(named, depth + 1);
      if (any !== undefined) visit(any, depth + 1);
    };
    visit(root, 0);
    // Leaves of one pattern are in order.
    if (groups > 1) found.sort((a, b) => a.order - b.order);
    return found.map((leaf) => leaf.value);
  }

  return { add, match };
}

/** Whether one pattern matches one subject. */
export function subjectMatches(pattern: string, subject: string): boolean {
  const tree = createSubjectTree<true>();
  tree.add(pattern, true);
  return tree.match(subject).length > 0;
}
