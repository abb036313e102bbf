import { iterate, truthy } from "../../../python/values/protocols.ts";
import type { Value } from "../../../python/values/value.ts";
import { compileExpression } from "./expression.ts";
import { compileTarget } from "./target.ts";
import { TemplateSyntaxError } from "../parse/errors.ts";
import { LoopContext } from "../runtime/loop_context.ts";
import { descendants, type ForNode, type Statement } from "../parse/nodes.ts";
import { PyIterator } from "../runtime/objects.ts";
import { Frame } from "../runtime/frame.ts";
import { type Execute, FunctionScope, type Scope, type Signal } from "./scope.ts";
import { analyze, findUndeclared } from "./symbols.ts";

type CompileBody = (body: readonly Statement[], scope: Scope) => Execute;
type RunLoop = (
  frame: Frame,
  items: Value,
  recurse: ((items: Value, depth: number) => string) | null,
  depth: number,
) => Signal;

export function compileFor(node: ForNode, outer: Scope, compileBody: CompileBody): Execute {
  const filter = node.test === null ? null : compileFilterFunction(node, outer);
  const iter = compileExpression(node.iter, outer);
  if (!node.recursive) {
    const run = compilePasses(node, outer, outer.func, compileBody);
    return (frame) => {
      const items = iter(frame);
      return run(frame, filter === null ? items : filter(frame, items), null, 0);
    };
  }
  const func = new FunctionScope(outer.func);
  const run = compilePasses(node, outer, func, compileBody);
  return (frame) => {
    const recurse = (items: Value, depth: number): string =>
      frame.run.nested(() => {
        const out = { text: "" };
        const own = new Frame(func.size, frame, frame.context, frame.run, out);
        run(own, filter === null ? items : filter(frame, items), recurse, depth);
        return out.text;
      });
    const text = recurse(iter(frame), 0);
    frame.out.text += text;
    return 0;
  };
}

/** The passes of a loop and its `else`. */
function compilePasses(node: ForNode, outer: Scope, func: FunctionScope, compileBody: CompileBody): RunLoop {
  const scope = outer.inner(func);
  const isExtended = node.recursive || findUndeclared(node.body, ["loop"]).has("loop") ||
    [...descendants(node)].some((child) => child.kind === "Block" && child.scoped);
  if (isExtended) scope.symbols.declareParameter("loop");
  analyze(scope.symbols, node, "body");
  for (const child of descendants(node)) {
    if (child.kind === "Name" && child.ctx === "store" && child.name === "loop") {
      throw new TemplateSyntaxError("Can't assign to special loop variable in for-loop target", child.line);
    }
  }
  const assign = compileTarget(node.target, scope);
  const setLoop = isExtended ? scope.write("loop") : null;
  const enter = scope.enter();
  const leave = scope.leave();
  func.loops++;
  const body = compileBody(node.body, scope);
  func.loops--;
  const otherwise = compileElse(node, outer, func, compileBody);

  /** Whether a pass ran to its end: after `continue` and `break` the `else` still runs, as in Jinja2. */
  const runPlain = (frame: Frame, items: Value): boolean => {
    let completed = false;
    for (const item of iterate(items)) {
      frame.run.step();
      assign(frame, item);
      enter(frame);
      const signal = body(frame);
      if (signal === 1) break;
      completed ||= signal === 0;
    }
    return completed;
  };
  const runExtended = (frame: Frame, loop: LoopContext): boolean => {
    let completed = false;
    for (let item = loop.next(); item !== undefined; item = loop.next()) {
      frame.run.step();
      assign(frame, item);
      setLoop!(frame, loop);
      enter(frame);
      const signal = body(frame);
      if (signal === 1) break;
      completed ||= signal === 0;
    }
    return completed;
  };
  return (frame, items, recurse, depth) => {
    const completed = setLoop === null
      ? runPlain(frame, items)
      : runExtended(frame, new LoopContext(items, recurse, depth));
    leave(frame);
    return completed || otherwise === null ? 0 : otherwise(frame);
  };
}

function compileElse(
  node: ForNode,
  outer: Scope,
  func: FunctionScope,
  compileBody: CompileBody,
): Execute | null {
  if (node.otherwise.length === 0) return null;
  const scope = outer.inner(func);
  analyze(scope.symbols, node, "else");
  const enter = scope.enter();
  const leave = scope.leave();
  const body = compileBody(node.otherwise, scope);
  return (frame) => {
    enter(frame);
    const signal = body(frame);
    leave(frame);
    return signal;
  };
}

/** `for ... in items if test`: a generator, so that the test sees what the loop's body has changed. */
function compileFilterFunction(node: ForNode, outer: Scope): (frame: Frame, items: Value) => Value {
  const func = new FunctionScope(outer.func);
  const scope = outer.inner(func);
  analyze(scope.symbols, node, "test");
  const assign = compileTarget(node.target, scope);
  const enter = scope.enter();
  const test = compileExpression(node.test!, scope);
  return (around, items) => {
    const passing = function* (): Generator<Value> {
      const frame = new Frame(func.size, around, around.context, around.run, { text: "" });
      enter(frame);
      for (const item of iterate(items)) {
        frame.run.step();
        assign(frame, item);
        if (truthy(test(frame))) yield item;
      }
    };
    return new PyIterator(passing());
  };
}
