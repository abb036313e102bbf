/** The syntax tree, as jinja2/nodes.py has it. */
import type { Value } from "../../../python/values/value.ts";

/** A node of one kind; `line` counts from 1. */
type NodeOf<Kind extends string, Fields = unknown> =
  & Readonly<Fields>
  & { readonly kind: Kind; readonly line: number };

export interface NameNode {
  readonly kind: "Name";
  readonly line: number;
  readonly name: string;
  ctx: "load" | "store" | "param";
}
/** What a call passes: `f(args, name=kwargs, *dynArgs, **dynKwargs)`. */
export interface Arguments {
  readonly args: Expr[];
  readonly kwargs: { readonly key: string; readonly value: Expr }[];
  readonly dynArgs: Expr | null;
  readonly dynKwargs: Expr | null;
}
export type CallNode = NodeOf<"Call", Arguments & { node: Expr }>;
/** `node` null: the body of a `filter` or `set` block. */
export type FilterNode = NodeOf<"Filter", Arguments & { node: Expr | null; name: string }>;
export type TestNode = NodeOf<"Test", Arguments & { node: Expr; name: string }>;
export type BinaryOperator = "+" | "-" | "*" | "/" | "//" | "%" | "**";
export type CompareOperator = "==" | "!=" | "<" | "<=" | ">" | ">=" | "in" | "notin";

/** `ns.attr` as a target. */
type NSRefNode = NodeOf<"NSRef", { name: string; attr: string }>;
type TupleNode = NodeOf<"Tuple", { items: Expr[] }>;
export type Target = NameNode | NSRefNode | TupleNode;
export type Expr =
  | NameNode
  | NSRefNode
  | TupleNode
  | CallNode
  | FilterNode
  | TestNode
  | NodeOf<"Slice", { start: Expr | null; stop: Expr | null; step: Expr | null }>
  | NodeOf<"Const", { value: Value }>
  | NodeOf<"TemplateData", { data: string }>
  | NodeOf<"List", { items: Expr[] }>
  | NodeOf<"Dict", { items: { readonly key: Expr; readonly value: Expr }[] }>
  | NodeOf<"Condition", { test: Expr; then: Expr; otherwise: Expr | null }>
  | NodeOf<"Binary", { op: BinaryOperator; left: Expr; right: Expr }>
  | NodeOf<"Logic", { op: "and" | "or"; left: Expr; right: Expr }>
  | NodeOf<"Unary", { op: "-" | "+" | "not"; node: Expr }>
  | NodeOf<"Concat", { nodes: Expr[] }>
  | NodeOf<"Compare", { node: Expr; ops: { readonly op: CompareOperator; readonly node: Expr }[] }>
  | NodeOf<"Getattr", { node: Expr; attr: string }>
  | NodeOf<"Getitem", { node: Expr; arg: Expr }>;

export interface Signature {
  readonly args: NameNode[];
  readonly defaults: Expr[];
}
interface Body {
  readonly body: Statement[];
}
export type ForNode = NodeOf<
  "For",
  Body & { target: Expr; iter: Expr; otherwise: Statement[]; test: Expr | null; recursive: boolean }
>;
export type IfNode = NodeOf<"If", Body & { test: Expr; elifs: IfNode[]; otherwise: Statement[] }>;
export type MacroNode = NodeOf<"Macro", Signature & Body & { name: string }>;
export type CallBlockNode = NodeOf<"CallBlock", Signature & Body & { call: CallNode }>;
/** transformers' `{% generation %}`: a call block that notes what it writes. */
export type GenerationNode = NodeOf<"Generation", Signature & Body>;
export type WithNode = NodeOf<"With", Body & { targets: Expr[]; values: Expr[] }>;
export type AssignNode = NodeOf<"Assign", { target: Expr; node: Expr }>;
export type AssignBlockNode = NodeOf<"AssignBlock", Body & { target: Expr; filter: FilterNode | null }>;
export type FilterBlockNode = NodeOf<"FilterBlock", Body & { filter: FilterNode }>;
export type BlockNode = NodeOf<"Block", Body & { name: string; scoped: boolean; required: boolean }>;
export type OutputNode = NodeOf<"Output", { nodes: Expr[] }>;
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
  | NodeOf<"Break">
  | NodeOf<"Continue">;

export interface TemplateNode extends Body {
  readonly kind: "Template";
}

export type Node = Expr | Statement | TemplateNode;

/** The nodes right below a node, in the order of Jinja2's fields: the analysis of names depends on it. */
export function children(node: Node): Node[] {
  if (node.kind === "Tuple" || node.kind === "List") return node.items;
  if (node.kind === "Dict") return node.items.flatMap(({ key, value }) => [key, value]);
  if (node.kind === "Condition") return present(node.test, node.then, node.otherwise);
  if (node.kind === "Binary" || node.kind === "Logic") return [node.left, node.right];
  if (node.kind === "Unary" || node.kind === "Getattr") return [node.node];
  if (node.kind === "Concat" || node.kind === "Output") return node.nodes;
  if (node.kind === "Compare") return [node.node, ...node.ops.map((operand) => operand.node)];
  if (node.kind === "Getitem") return [node.node, node.arg];
  if (node.kind === "Slice") return present(node.start, node.stop, node.step);
  if (node.kind === "Call" || node.kind === "Filter" || node.kind === "Test") {
    return present(node.node, ...node.args, ...values(node.kwargs), node.dynArgs, node.dynKwargs);
  }
  if (node.kind === "For") return present(node.target, node.iter, ...node.body, ...node.otherwise, node.test);
  if (node.kind === "If") return [node.test, ...node.body, ...node.elifs, ...node.otherwise];
  if (node.kind === "Macro" || node.kind === "Generation") {
    return [...node.args, ...node.defaults, ...node.body];
  }
  if (node.kind === "CallBlock") return [node.call, ...node.args, ...node.defaults, ...node.body];
  if (node.kind === "With") return [...node.targets, ...node.values, ...node.body];
  if (node.kind === "Assign") return [node.target, node.node];
  if (node.kind === "AssignBlock") return present(node.target, node.filter, ...node.body);
  if (node.kind === "FilterBlock") return [...node.body, node.filter];
  if (node.kind === "Block" || node.kind === "Template") return node.body;
  node.kind satisfies "Name" | "NSRef" | "Const" | "TemplateData" | "Break" | "Continue";
  return [];
}

function values(kwargs: Arguments["kwargs"]): Expr[] {
  return kwargs.map(({ value }) => value);
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
