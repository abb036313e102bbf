/** The syntax tree, as jinja2/nodes.py has it. */
import type { Value } from "../../../python/values/value.ts";

export type Context = "load" | "store" | "param";

export interface NameNode {
  readonly kind: "Name";
  readonly line: number;
  readonly name: string;
  ctx: Context;
}
/** `ns.attr` as a target. */
interface NSRefNode {
  readonly kind: "NSRef";
  readonly line: number;
  readonly name: string;
  readonly attr: string;
}
interface TupleNode {
  readonly kind: "Tuple";
  readonly line: number;
  readonly items: Expr[];
}
interface SliceNode {
  readonly kind: "Slice";
  readonly line: number;
  readonly start: Expr | null;
  readonly stop: Expr | null;
  readonly step: Expr | null;
}
/** What a call passes: `f(args, name=kwargs, *dynArgs, **dynKwargs)`. */
export interface Arguments {
  readonly args: Expr[];
  readonly kwargs: { readonly key: string; readonly value: Expr }[];
  readonly dynArgs: Expr | null;
  readonly dynKwargs: Expr | null;
}
export interface CallNode extends Arguments {
  readonly kind: "Call";
  readonly line: number;
  readonly node: Expr;
}
export interface FilterNode extends Arguments {
  readonly kind: "Filter";
  readonly line: number;
  /** Null: the body of a `filter` or `set` block. */
  readonly node: Expr | null;
  readonly name: string;
}
export interface TestNode extends Arguments {
  readonly kind: "Test";
  readonly line: number;
  readonly node: Expr;
  readonly name: string;
}
export type BinaryOperator = "+" | "-" | "*" | "/" | "//" | "%" | "**";
export type CompareOperator = "==" | "!=" | "<" | "<=" | ">" | ">=" | "in" | "notin";

export type Target = NameNode | NSRefNode | TupleNode;
export type Expr =
  | NameNode
  | NSRefNode
  | TupleNode
  | SliceNode
  | CallNode
  | FilterNode
  | TestNode
  | { readonly kind: "Const"; readonly line: number; readonly value: Value }
  | { readonly kind: "TemplateData"; readonly line: number; readonly data: string }
  | { readonly kind: "List"; readonly line: number; readonly items: Expr[] }
  | {
    readonly kind: "Dict";
    readonly line: number;
    readonly items: { readonly key: Expr; readonly value: Expr }[];
  }
  | {
    readonly kind: "Condition";
    readonly line: number;
    readonly test: Expr;
    readonly then: Expr;
    readonly otherwise: Expr | null;
  }
  | {
    readonly kind: "Binary";
    readonly line: number;
    readonly op: BinaryOperator;
    readonly left: Expr;
    readonly right: Expr;
  }
  | {
    readonly kind: "Logic";
    readonly line: number;
    readonly op: "and" | "or";
    readonly left: Expr;
    readonly right: Expr;
  }
  | { readonly kind: "Unary"; readonly line: number; readonly op: "-" | "+" | "not"; readonly node: Expr }
  | { readonly kind: "Concat"; readonly line: number; readonly nodes: Expr[] }
  | {
    readonly kind: "Compare";
    readonly line: number;
    readonly node: Expr;
    readonly ops: { readonly op: CompareOperator; readonly node: Expr }[];
  }
  | { readonly kind: "Getattr"; readonly line: number; readonly node: Expr; readonly attr: string }
  | { readonly kind: "Getitem"; readonly line: number; readonly node: Expr; readonly arg: Expr };

export interface ForNode {
  readonly kind: "For";
  readonly line: number;
  readonly target: Expr;
  readonly iter: Expr;
  readonly body: Statement[];
  readonly otherwise: Statement[];
  readonly test: Expr | null;
  readonly recursive: boolean;
}
export interface IfNode {
  readonly kind: "If";
  readonly line: number;
  readonly test: Expr;
  readonly body: Statement[];
  readonly elifs: IfNode[];
  readonly otherwise: Statement[];
}
export interface Signature {
  readonly args: NameNode[];
  readonly defaults: Expr[];
}
export interface MacroNode extends Signature {
  readonly kind: "Macro";
  readonly line: number;
  readonly name: string;
  readonly body: Statement[];
}
export interface CallBlockNode extends Signature {
  readonly kind: "CallBlock";
  readonly line: number;
  readonly call: CallNode;
  readonly body: Statement[];
}
/** transformers' `{% generation %}`: a call block that notes what it writes. */
export interface GenerationNode extends Signature {
  readonly kind: "Generation";
  readonly line: number;
  readonly body: Statement[];
}
export interface WithNode {
  readonly kind: "With";
  readonly line: number;
  readonly targets: Expr[];
  readonly values: Expr[];
  readonly body: Statement[];
}
export interface AssignNode {
  readonly kind: "Assign";
  readonly line: number;
  readonly target: Expr;
  readonly node: Expr;
}
export interface AssignBlockNode {
  readonly kind: "AssignBlock";
  readonly line: number;
  readonly target: Expr;
  readonly filter: FilterNode | null;
  readonly body: Statement[];
}
export interface FilterBlockNode {
  readonly kind: "FilterBlock";
  readonly line: number;
  readonly filter: FilterNode;
  readonly body: Statement[];
}
export interface BlockNode {
  readonly kind: "Block";
  readonly line: number;
  readonly name: string;
  readonly scoped: boolean;
  readonly required: boolean;
  readonly body: Statement[];
}
export interface OutputNode {
  readonly kind: "Output";
  readonly line: number;
  readonly nodes: Expr[];
}
export type Statement =
  | ForNode
  | IfNode
  | MacroNode
  | CallBlockNode
  | GenerationNode
  | WithNode
  | AssignNode
  | AssignBlockNode
  | FilterBlockNode
  | BlockNode
  | OutputNode
  | { readonly kind: "Break"; readonly line: number }
  | { readonly kind: "Continue"; readonly line: number };

export interface TemplateNode {
  readonly kind: "Template";
  readonly body: Statement[];
}

export type Node = Expr | Statement | TemplateNode;

/** The nodes right below a node, in the order of Jinja2's fields: the analysis of names depends on it. */
export function children(node: Node): Node[] {
  switch (node.kind) {
    case "Name":
    case "NSRef":
    case "Const":
    case "TemplateData":
    case "Break":
    case "Continue":
      return [];
    case "Tuple":
    case "List":
      return node.items;
    case "Dict":
      return node.items.flatMap(({ key, value }) => [key, value]);
    case "Condition":
      return present(node.test, node.then, node.otherwise);
    case "Binary":
    case "Logic":
      return [node.left, node.right];
    case "Unary":
      return [node.node];
    case "Concat":
    case "Output":
      return node.nodes;
    case "Compare":
      return [node.node, ...node.ops.map((operand) => operand.node)];
    case "Getattr":
      return [node.node];
    case "Getitem":
      return [node.node, node.arg];
    case "Slice":
      return present(node.start, node.stop, node.step);
    case "Call":
    case "Filter":
    case "Test":
      return present(
        node.node,
        ...node.args,
        ...node.kwargs.map(({ value }) => value),
        node.dynArgs,
        node.dynKwargs,
      );
    case "For":
      return present(node.target, node.iter, ...node.body, ...node.otherwise, node.test);
    case "If":
      return [node.test, ...node.body, ...node.elifs, ...node.otherwise];
    case "Macro":
    case "Generation":
      return [...node.args, ...node.defaults, ...node.body];
    case "CallBlock":
      return [node.call, ...node.args, ...node.defaults, ...node.body];
    case "With":
      return [...node.targets, ...node.values, ...node.body];
    case "Assign":
      return [node.target, node.node];
    case "AssignBlock":
      return present(node.target, node.filter, ...node.body);
    case "FilterBlock":
      return [...node.body, node.filter];
    case "Block":
    case "Template":
      return node.body;
  }
}

function present(...nodes: (Node | null)[]): Node[] {
  return nodes.filter((node) => node !== null);
}

/** All nodes below a node, in order. */
export function* descendants(node: Node): Generator<Node> {
  for (const child of children(node)) {
    yield child;
    yield* descendants(child);
  }
}
