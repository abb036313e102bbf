import { binary, unary } from "../../../python/arithmetic.ts";
import { setItem } from "../../../python/methods/container_methods.ts";
import { contains, equals, ordered } from "../../../python/values/compare.ts";
import { checkText } from "../../../python/values/limits.ts";
import { NO_KWARGS } from "../../../python/values/parameters.ts";
import { iterate, truthy } from "../../../python/values/protocols.ts";
import { str } from "../../../python/values/repr.ts";
import { slice } from "../../../python/values/subscript.ts";
import { type Kwargs, PyError, tuple, typeName, type Value } from "../../../python/values/value.ts";
import { call, callMethod, getAttribute, getItem } from "../runtime/environment.ts";
import { TemplateSyntaxError } from "../parse/errors.ts";
import { findFilter, findTest } from "../filters/builtins.ts";
import type { Arguments, CallNode, CompareOperator, Expr, FilterNode, TestNode } from "../parse/nodes.ts";
import type { Frame } from "../runtime/frame.ts";
import type { Evaluate, Scope } from "./scope.ts";
import { Undefined, undefinedName } from "../runtime/undefined.ts";

export function compileExpression(node: Expr, scope: Scope): Evaluate {
  const compile = (child: Expr) => compileExpression(child, scope);
  if (node.kind === "Const") {
    const { value } = node;
    return () => value;
  }
  if (node.kind === "TemplateData") {
    const { data } = node;
    return () => data;
  }
  if (node.kind === "Name") return compileName(node.name, scope);
  if (node.kind === "Tuple" || node.kind === "List") {
    const items = node.items.map(compile);
    return node.kind === "Tuple"
      ? (frame) => tuple(items.map((item) => item(frame)))
      : (frame) => items.map((item) => item(frame));
  }
  if (node.kind === "Dict") return compileDict(node.items, compile);
  if (node.kind === "Condition") return compileCondition(node, scope);
  if (node.kind === "Binary") return compileBinary(node.op, compile(node.left), compile(node.right));
  if (node.kind === "Logic") {
    const left = compile(node.left);
    const right = compile(node.right);
    const isAnd = node.op === "and";
    return (frame) => {
      const value = left(frame);
      return truthy(value) === isAnd ? right(frame) : value;
    };
  }
  if (node.kind === "Unary") {
    const { op } = node;
    const value = compile(node.node);
    return op === "not" ? (frame) => !truthy(value(frame)) : (frame) => unary(op, value(frame));
  }
  if (node.kind === "Concat") {
    const parts = node.nodes.map(compile);
    return (frame) => parts.map((part) => part(frame)).map(str).join("");
  }
  if (node.kind === "Compare") {
    return compileCompare(compile(node.node), node.ops.map(({ op, node }) => ({ op, value: compile(node) })));
  }
  if (node.kind === "Getattr") {
    const { attr } = node;
    const value = compile(node.node);
    return (frame) => getAttribute(value(frame), attr);
  }
  if (node.kind === "Getitem") return compileItem(node.node, node.arg, scope);
  if (node.kind === "Call") return compileCall(node, scope);
  if (node.kind === "Filter") return compileFilter(node, scope);
  if (node.kind === "Test") return compileTest(node, scope);
  node.kind satisfies "NSRef" | "Slice";
  throw new TemplateSyntaxError("invalid syntax", node.line);
}

function compileName(name: string, scope: Scope): Evaluate {
  const read = scope.read(name);
  return (frame) => {
    const value = read(frame);
    return value === undefined ? undefinedName(name) : value;
  };
}

function compileDict(
  items: readonly { key: Expr; value: Expr }[],
  compile: (node: Expr) => Evaluate,
): Evaluate {
  const pairs = items.map(({ key, value }) => [compile(key), compile(value)] as const);
  return (frame) => {
    const map = new Map<Value, Value>();
    for (const [key, value] of pairs) {
      const made = key(frame);
      setItem(map, made, value(frame));
    }
    return map;
  };
}

function compileCondition(node: Expr & { kind: "Condition" }, outer: Scope): Evaluate {
  const scope = outer.soft();
  const test = compileExpression(node.test, scope);
  const then = compileExpression(node.then, scope);
  if (node.otherwise !== null) {
    const otherwise = compileExpression(node.otherwise, scope);
    return (frame) => truthy(test(frame)) ? then(frame) : otherwise(frame);
  }
  const missing = new Undefined(() =>
    `the inline if-expression on line ${node.line} evaluated to false and no else section was defined.`
  );
  return (frame) => truthy(test(frame)) ? then(frame) : missing;
}

function compileBinary(op: Parameters<typeof binary>[1], left: Evaluate, right: Evaluate): Evaluate {
  if (op !== "+") {
    return (frame) => {
      const value = left(frame);
      return binary(value, op, right(frame));
    };
  }
  return (frame) => {
    const a = left(frame);
    const b = right(frame);
    if (typeof a !== "string" || typeof b !== "string") return binary(a, "+", b);
    checkText(a.length + b.length);
    return a + b;
  };
}

function compare(left: Value, op: CompareOperator, right: Value): boolean {
  if (op === "==") return equals(left, right);
  if (op === "!=") return !equals(left, right);
  if (op === "in") return contains(right, left);
  if (op === "notin") return !contains(right, left);
  return ordered(left, op, right);
}

function compileCompare(
  first: Evaluate,
  ops: readonly { readonly op: CompareOperator; readonly value: Evaluate }[],
): Evaluate {
  if (ops.length === 1) {
    const { op, value } = ops[0]!;
    return (frame) => {
      const left = first(frame);
      return compare(left, op, value(frame));
    };
  }
  return (frame) => {
    let left = first(frame);
    for (const { op, value } of ops) {
      const right = value(frame);
      if (!compare(left, op, right)) return false;
      left = right;
    }
    return true;
  };
}

function compileItem(node: Expr, arg: Expr, scope: Scope): Evaluate {
  const value = compileExpression(node, scope);
  if (arg.kind !== "Slice") {
    const key = compileExpression(arg, scope);
    return (frame) => {
      const owner = value(frame);
      return getItem(owner, key(frame));
    };
  }
  const bound = (part: Expr | null): Evaluate => part === null ? () => null : compileExpression(part, scope);
  const start = bound(arg.start);
  const stop = bound(arg.stop);
  const step = bound(arg.step);
  return (frame) => {
    const owner = value(frame);
    return slice(owner, start(frame), stop(frame), step(frame));
  };
}

type GivenArguments = (frame: Frame) => { args: readonly Value[]; kwargs: Kwargs };

function compileArguments(node: Arguments, scope: Scope): GivenArguments {
  const args = node.args.map((arg) => compileExpression(arg, scope));
  const kwargs = node.kwargs.map(({ key, value }) => [key, compileExpression(value, scope)] as const);
  const dynArgs = node.dynArgs === null ? null : compileExpression(node.dynArgs, scope);
  const dynKwargs = node.dynKwargs === null ? null : compileExpression(node.dynKwargs, scope);
  if (args.length === 0 && kwargs.length === 0 && dynArgs === null && dynKwargs === null) {
    const nothing = { args: [], kwargs: NO_KWARGS };
    return () => nothing;
  }
  return (frame) => {
    const given = args.map((arg) => arg(frame));
    if (dynArgs !== null) { for (const item of iterate(dynArgs(frame))) given.push(item); }
    if (kwargs.length === 0 && dynKwargs === null) return { args: given, kwargs: NO_KWARGS };
    const named = new Map(kwargs.map(([key, value]) => [key, value(frame)]));
    if (dynKwargs !== null) addKwargs(named, dynKwargs(frame));
    return { args: given, kwargs: named };
  };
}

function addKwargs(named: Map<string, Value>, more: Value): void {
  if (!(more instanceof Map)) {
    throw new PyError("TypeError", `argument after ** must be a mapping, not ${typeName(more)}`);
  }
  for (const [key, value] of more) {
    if (typeof key !== "string") throw new PyError("TypeError", "keywords must be strings");
    if (named.has(key)) throw new PyError("TypeError", `got multiple values for keyword argument '${key}'`);
    named.set(key, value);
  }
}

/** `extra`: a keyword argument that the statement adds. */
export function compileCall(
  node: CallNode,
  scope: Scope,
  extra?: (frame: Frame) => [string, Value],
): Evaluate {
  const given = compileArguments(node, scope);
  if (extra !== undefined) {
    const callee = compileExpression(node.node, scope);
    return (frame) => {
      const target = callee(frame);
      const { args, kwargs } = given(frame);
      return call(target, args, new Map([...kwargs, extra(frame)]));
    };
  }
  if (node.node.kind === "Getattr") {
    const { attr } = node.node;
    const value = compileExpression(node.node.node, scope);
    return (frame) => {
      const owner = value(frame);
      // An undefined owner is an error before its arguments are.
      if (owner instanceof Undefined) owner.use();
      const { args, kwargs } = given(frame);
      return callMethod(owner, attr, args, kwargs);
    };
  }
  const callee = compileExpression(node.node, scope);
  return (frame) => {
    const target = callee(frame);
    const { args, kwargs } = given(frame);
    return call(target, args, kwargs);
  };
}

/** A filter without a node takes what the block around it has written. */
export function compileFilter(node: FilterNode, scope: Scope): Evaluate {
  const value: Evaluate = node.node === null
    ? (frame) => frame.out.text
    : compileExpression(node.node, scope);
  const given = compileArguments(node, scope);
  const filter = findFilter(node.name);
  if (filter === undefined) return unknown("filter", node.name, node.line, scope);
  return (frame) => {
    const input = value(frame);
    const { args, kwargs } = given(frame);
    return filter(input, args, kwargs);
  };
}

function compileTest(node: TestNode, scope: Scope): Evaluate {
  const value = compileExpression(node.node, scope);
  const given = compileArguments(node, scope);
  const test = findTest(node.name);
  if (test === undefined) return unknown("test", node.name, node.line, scope);
  return (frame) => {
    const input = value(frame);
    const { args, kwargs } = given(frame);
    return test(input, args, kwargs);
  };
}

function unknown(kind: string, name: string, line: number, scope: Scope): Evaluate {
  if (!scope.isSoft) throw new TemplateSyntaxError(`No ${kind} named '${name}'.`, line);
  return () => {
    throw new PyError("TemplateAssertionError", `line ${line}: No ${kind} named '${name}' found.`);
  };
}
