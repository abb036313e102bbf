/**
 * Which variable a name means, as jinja2/idtracking.py finds it. Each scope gives the names that it sets or looks up
 * first a reference of its own, and says what the reference holds when the scope is entered.
 */
import { children, type Node } from "../parse/nodes.ts";

export type Load =
  /** Set when the scope is entered. */
  | { readonly kind: "parameter" }
  /** Looked up in what the template was given. */
  | { readonly kind: "resolve"; readonly name: string }
  /** A copy of an outer scope's variable. */
  | { readonly kind: "alias"; readonly ref: string }
  | { readonly kind: "undefined" };

export class Symbols {
  readonly level: number;
  readonly parent: Symbols | null;
  readonly refs: Map<string, string>;
  readonly loads: Map<string, Load>;
  readonly stores: Set<string>;

  constructor(parent: Symbols | null, copied?: Symbols) {
    this.parent = parent;
    this.level = copied?.level ?? (parent === null ? 0 : parent.level + 1);
    this.refs = new Map(copied?.refs);
    this.loads = new Map(copied?.loads);
    this.stores = new Set(copied?.stores);
  }

  /** The nearest scope's reference for a name. */
  find(name: string): string | undefined {
    return this.refs.get(name) ?? this.parent?.find(name);
  }

  declareParameter(name: string): string {
    this.stores.add(name);
    return this.#define(name, { kind: "parameter" });
  }

  load(name: string): void {
    if (this.find(name) === undefined) this.#define(name, { kind: "resolve", name });
  }

  store(name: string): void {
    this.stores.add(name);
    if (this.refs.has(name)) return;
    const outer = this.parent?.find(name);
    this.#define(name, outer === undefined ? { kind: "undefined" } : { kind: "alias", ref: outer });
  }

  copy(): Symbols {
    return new Symbols(this.parent, this);
  }

  /** Takes over what branches set; a name that they alone set holds what it held before where none of them ran. */
  updateFromBranches(branches: readonly Symbols[]): void {
    const stores = new Set(branches.flatMap((branch) => [...branch.stores]));
    for (const name of this.stores) stores.delete(name);
    for (const branch of branches) {
      for (const [name, ref] of branch.refs) this.refs.set(name, ref);
      for (const [ref, load] of branch.loads) this.loads.set(ref, load);
      for (const name of branch.stores) this.stores.add(name);
    }
    for (const name of stores) {
      const outer = this.parent?.find(name);
      this.loads.set(
        this.find(name)!,
        outer === undefined ? { kind: "resolve", name } : { kind: "alias", ref: outer },
      );
    }
  }

  /** All variables that are set here and further out: their names and references. */
  dumpStores(): Map<string, string> {
    const found = new Map(this.parent?.dumpStores());
    for (const name of this.stores) found.set(name, this.find(name)!);
    return found;
  }

  #define(name: string, load: Load): string {
    const ref = `l_${this.level}_${name}`;
    this.refs.set(name, ref);
    this.loads.set(ref, load);
    return ref;
  }
}

type ForBranch = "body" | "else" | "test";

/** Notes in `symbols` what a node's own scope sets and looks up. */
export function analyze(symbols: Symbols, node: Node, branch: ForBranch = "body"): void {
  const visit = (nodes: readonly Node[]) => nodes.forEach((child) => visitNode(symbols, child));
  if (node.kind === "For") {
    if (branch !== "else") visitTarget(symbols, node.target);
    if (branch === "test") visit(node.test === null ? [] : [node.test]);
    else visit(branch === "body" ? node.body : node.otherwise);
    return;
  }
  if (node.kind === "AssignBlock") return visit(node.body);
  if (node.kind === "CallBlock") return visit([...node.args, ...node.defaults, ...node.body]);
  if (node.kind === "With") return visit([...node.targets, ...node.body]);
  return visit(children(node));
}

function visitTarget(symbols: Symbols, target: Node): void {
  if (target.kind === "Name") symbols.declareParameter(target.name);
  else children(target).forEach((child) => visitTarget(symbols, child));
}

/** Stops where a node has a scope of its own; what it evaluates in the outer scope is visited. */
function visitNode(symbols: Symbols, node: Node): void {
  const visit = (nodes: readonly Node[]) => nodes.forEach((child) => visitNode(symbols, child));
  if (node.kind === "Name") {
    if (node.ctx === "param") symbols.declareParameter(node.name);
    else if (node.ctx === "store") symbols.store(node.name);
    else symbols.load(node.name);
    return;
  }
  if (node.kind === "NSRef") return symbols.load(node.name);
  if (node.kind === "If") {
    visit([node.test]);
    const branches = [node.body, node.elifs, node.otherwise].map((nodes) => {
      const branch = symbols.copy();
      nodes.forEach((child) => visitNode(branch, child));
      return branch;
    });
    return symbols.updateFromBranches(branches);
  }
  if (node.kind === "Macro") return symbols.store(node.name);
  if (node.kind === "Assign") return visit([node.node, node.target]);
  if (node.kind === "For") return visit([node.iter]);
  if (node.kind === "CallBlock") return visit([node.call]);
  if (node.kind === "FilterBlock") return visit([node.filter]);
  if (node.kind === "With") return visit(node.values);
  if (node.kind === "AssignBlock") return visit([node.target]);
  if (node.kind === "Block" || node.kind === "Generation") return;
  return visit(children(node));
}

/** Which of the names a body looks up without having set them. */
export function findUndeclared(nodes: readonly Node[], names: readonly string[]): Set<string> {
  const wanted = new Set(names);
  const found = new Set<string>();
  const visit = (node: Node): void => {
    if (node.kind === "Block" || found.size === names.length) return;
    if (node.kind === "Name") {
      if (node.ctx === "load" && wanted.has(node.name)) found.add(node.name);
      else wanted.delete(node.name);
      return;
    }
    children(node).forEach(visit);
  };
  nodes.forEach(visit);
  return found;
}
