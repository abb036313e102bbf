/** A template's syntax tree → a function that renders it. */
import { truthy } from "../../../python/values/protocols.ts";
import { str } from "../../../python/values/repr.ts";
import { PyError, typeName, type Value } from "../../../python/values/value.ts";
import { compileCall, compileExpression, compileFilter } from "./expression.ts";
import { collectBlocks, compileBlock, compileBlockCall, compileSelf } from "./block.ts";
import { compileFor } from "./loop.ts";
import { compileMacro } from "./macro.ts";
import { compileNamespaceCheck, compileTarget } from "./target.ts";
import { TemplateSyntaxError } from "../parse/errors.ts";
import {
  type AssignBlockNode,
  type AssignNode,
  type CallBlockNode,
  descendants,
  type Expr,
  type FilterBlockNode,
  type GenerationNode,
  type IfNode,
  type MacroNode,
  type OutputNode,
  type Statement,
  type TemplateNode,
  type WithNode,
} from "../parse/nodes.ts";
import { Markup } from "../runtime/objects.ts";
import { type Context, Frame, Run } from "../runtime/frame.ts";
import { type Evaluate, type Execute, FunctionScope, Scope } from "./scope.ts";
import { analyze, Symbols } from "./symbols.ts";
import { NO_KWARGS } from "../../../python/values/parameters.ts";

/** Throws a `TemplateSyntaxError` or an `UnsupportedError`. */
export function compileTemplate(template: TemplateNode): (context: Context) => Run {
  const blocks = collectBlocks(template);
  const scope = new Scope(blocks, new Symbols(null), new FunctionScope(null), { isTopLevel: true });
  const setSelf = compileSelf(template.body, scope);
  analyze(scope.symbols, template);
  const enter = scope.enter();
  const body = compileBody(template.body, scope);
  for (const node of blocks.nodes.values()) {
    blocks.functions.set(node.name, compileBlock(node, blocks, compileBody));
  }
  return (context) => {
    const run = new Run();
    const frame = new Frame(scope.func.size, null, context, run, run.root);
    setSelf(frame);
    enter(frame);
    body(frame);
    return run;
  };
}

function compileBody(nodes: readonly Statement[], scope: Scope): Execute {
  const statements = nodes.map((node) => compileStatement(node, scope));
  if (statements.length === 1) return statements[0]!;
  return (frame) => {
    for (const statement of statements) {
      const signal = statement(frame);
      if (signal !== 0) return signal;
    }
    return 0;
  };
}

function compileStatement(node: Statement, scope: Scope): Execute {
  if (node.kind === "Output") return compileOutput(node, scope);
  if (node.kind === "If") return compileIf(node, scope);
  if (node.kind === "For") return compileFor(node, scope, compileBody);
  if (node.kind === "Assign") return compileAssign(node, scope);
  if (node.kind === "AssignBlock") return compileAssignBlock(node, scope);
  if (node.kind === "Macro") return compileMacroDefinition(node, scope);
  if (node.kind === "CallBlock") return compileCallBlock(node, scope);
  if (node.kind === "Generation") return compileGeneration(node, scope);
  if (node.kind === "FilterBlock") return compileFilterBlock(node, scope);
  if (node.kind === "With") return compileWith(node, scope);
  if (node.kind === "Block") return compileBlockCall(node, scope);
  if (scope.func.loops === 0) {
    throw new TemplateSyntaxError(`'${node.kind.toLowerCase()}' outside loop`, node.line);
  }
  const signal = node.kind === "Break" ? 1 : 2;
  return () => signal;
}

function compileOutput(node: OutputNode, scope: Scope): Execute {
  const parts = node.nodes.map((child) => {
    if (child.kind === "TemplateData") return child.data;
    return compileExpression(child, scope);
  });
  return (frame) => {
    for (const part of parts) {
      if (typeof part === "string") frame.out.text += part;
      else {
        const value = part(frame);
        frame.out.text += typeof value === "string" ? value : str(value);
      }
    }
    return 0;
  };
}

function compileIf(node: IfNode, outer: Scope): Execute {
  const scope = outer.soft();
  const branches = [node, ...node.elifs].map(({ test, body }) => ({
    test: compileExpression(test, scope),
    body: compileBody(body, scope),
  }));
  const otherwise = compileBody(node.otherwise, scope);
  return (frame) => {
    for (const { test, body } of branches) if (truthy(test(frame))) return body(frame);
    return otherwise(frame);
  };
}

/** At the top level, blocks see what is set. */
function compileExport(target: Expr, scope: Scope): (frame: Frame) => void {
  if (!scope.isTopLevel || scope.blocks.nodes.size === 0) return () => {};
  const names = [target, ...descendants(target)].flatMap((node) => node.kind === "Name" ? [node.name] : []);
  const reads = names.map((name) => [name, scope.read(name)] as const);
  return (frame) => {
    for (const [name, read] of reads) frame.context.vars.set(name, read(frame)!);
  };
}

function compileAssign(node: AssignNode, scope: Scope): Execute {
  const check = compileNamespaceCheck(node.target, scope);
  const value = compileExpression(node.node, scope);
  const assign = compileTarget(node.target, scope);
  const publish = compileExport(node.target, scope);
  return (frame) => {
    check(frame);
    assign(frame, value(frame));
    publish(frame);
    return 0;
  };
}

/** Runs a body with its output captured; `take` gets the text while it is still the current output. */
function compileCapture(
  body: Execute,
  take: Evaluate,
): (frame: Frame) => { signal: ReturnType<Execute>; value: Value } {
  return (frame) => {
    const outer = frame.out;
    frame.out = { text: "" };
    const signal = body(frame);
    const value = signal === 0 ? take(frame) : null;
    frame.out = outer;
    return { signal, value };
  };
}

/** What a filter or a call gives to be written must be a text: nothing prints it. */
function written(value: Value): string {
  if (typeof value === "string") return value;
  if (value instanceof Markup) return value.text;
  throw new PyError("TypeError", `sequence item 0: expected str instance, ${typeName(value)} found`);
}

function compileAssignBlock(node: AssignBlockNode, outer: Scope): Execute {
  const scope = outer.inner();
  analyze(scope.symbols, node);
  const enter = scope.enter();
  const leave = scope.leave();
  const take: Evaluate = node.filter === null ? (frame) => frame.out.text : compileFilter(node.filter, scope);
  const capture = compileCapture(compileBody(node.body, scope), take);
  const assign = compileTarget(node.target, outer);
  const publish = compileExport(node.target, outer);
  return (frame) => {
    enter(frame);
    const { signal, value } = capture(frame);
    if (signal !== 0) return signal;
    assign(frame, value);
    publish(frame);
    leave(frame);
    return 0;
  };
}

function compileFilterBlock(node: FilterBlockNode, outer: Scope): Execute {
  const scope = outer.inner();
  analyze(scope.symbols, node);
  const enter = scope.enter();
  const leave = scope.leave();
  const filter = compileFilter(node.filter, scope);
  const capture = compileCapture(compileBody(node.body, scope), filter);
  return (frame) => {
    enter(frame);
    const { signal, value } = capture(frame);
    if (signal !== 0) return signal;
    frame.out.text += written(value);
    leave(frame);
    return 0;
  };
}

function compileMacroDefinition(node: MacroNode, scope: Scope): Execute {
  const make = compileMacro(node, scope, compileBody);
  const assign = scope.write(node.name);
  const isExported = scope.isTopLevel && scope.blocks.nodes.size > 0;
  return (frame) => {
    const macro = make(frame);
    assign(frame, macro);
    if (isExported) frame.context.vars.set(node.name, macro);
    return 0;
  };
}

function compileCallBlock(node: CallBlockNode, scope: Scope): Execute {
  const make = compileMacro(node, scope, compileBody);
  if (node.call.kwargs.some(({ key }) => key === "caller")) {
    throw new TemplateSyntaxError("keyword argument repeated: caller", node.line);
  }
  const invoke = compileCall(node.call, scope, (frame) => ["caller", make(frame)]);
  return (frame) => {
    frame.out.text += written(invoke(frame));
    return 0;
  };
}

/** transformers' AssistantTracker: what the block writes is noted by what the template itself has written so far. */
function compileGeneration(node: GenerationNode, scope: Scope): Execute {
  const make = compileMacro(node, scope, compileBody);
  return (frame) => {
    const text = make(frame).call([], NO_KWARGS);
    const start = frame.run.root.text.length;
    frame.run.generated.push([start, start + text.length]);
    frame.out.text += text;
    return 0;
  };
}

function compileWith(node: WithNode, outer: Scope): Execute {
  const scope = outer.inner();
  analyze(scope.symbols, node);
  const enter = scope.enter();
  const leave = scope.leave();
  const assigns = node.targets.map((target, i) => ({
    assign: compileTarget(target, scope),
    value: compileExpression(node.values[i]!, outer),
  }));
  const body = compileBody(node.body, scope);
  return (frame) => {
    enter(frame);
    for (const { assign, value } of assigns) assign(frame, value(frame));
    const signal = body(frame);
    leave(frame);
    return signal;
  };
}
