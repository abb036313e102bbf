import type { Value } from "../../../python/values/value.ts";
import { compileExpression } from "./expression.ts";
import { TemplateSyntaxError } from "../parse/errors.ts";
import { Macro, type MacroShape } from "../runtime/macro.ts";
import type { CallBlockNode, GenerationNode, MacroNode, Statement } from "../parse/nodes.ts";
import { Frame } from "../runtime/frame.ts";
import { type Execute, FunctionScope, type Scope } from "./scope.ts";
import { analyze, findUndeclared } from "./symbols.ts";
import { Undefined } from "../runtime/undefined.ts";

type MacroLike = MacroNode | CallBlockNode | GenerationNode;

/** The body of a macro or a call block as a function of the frame around it. */
export function compileMacro(
  node: MacroLike,
  outer: Scope,
  compileBody: (body: readonly Statement[], scope: Scope) => Execute,
): (frame: Frame) => Macro {
  const func = new FunctionScope(outer.func);
  const scope = outer.inner(func);
  analyze(scope.symbols, node);
  const names = node.args.map(({ name }) => name);
  const special = specialNames(node, names);
  special.forEach((name) => scope.symbols.declareParameter(name));
  analyze(scope.symbols, node);

  const writes = [...names, ...special].map((name) => scope.write(name));
  const enter = scope.enter();
  const defaults = names.map((name, i) => {
    const value = node.defaults[node.defaults.length - names.length + i];
    if (value !== undefined) return compileExpression(value, scope);
    const missing = new Undefined(() => `parameter '${name}' was not provided`);
    return () => missing;
  });
  const body = compileBody(node.body, scope);
  const shape: MacroShape = {
    name: node.kind === "Macro" ? node.name : null,
    args: names,
    takesCaller: special.includes("caller"),
    takesKwargs: special.includes("kwargs"),
    takesVarargs: special.includes("varargs"),
  };

  const run = (around: Frame, args: readonly (Value | undefined)[]): string => {
    const out = { text: "" };
    const frame = new Frame(func.size, around, around.context, around.run, out);
    writes.forEach((write, i) => write(frame, args[i]));
    enter(frame);
    names.forEach((_, i) => {
      if (args[i] === undefined) writes[i]!(frame, defaults[i]!(frame));
    });
    body(frame);
    return out.text;
  };
  return (around) => new Macro(shape, (args) => around.run.nested(() => run(around, args)));
}

/** `caller`, `kwargs` and `varargs` exist if the body asks for them. */
function specialNames(node: MacroLike, names: readonly string[]): string[] {
  const undeclared = findUndeclared(node.body, ["caller", "kwargs", "varargs"]);
  const explicit = names.indexOf("caller");
  if (undeclared.has("caller") && explicit !== -1 && explicit < names.length - node.defaults.length) {
    throw new TemplateSyntaxError(
      'When defining macros or call blocks the special "caller" argument must be omitted or be given a default.',
      node.line,
    );
  }
  return ["caller", "kwargs", "varargs"].filter((name) => undeclared.has(name) && !names.includes(name));
}
