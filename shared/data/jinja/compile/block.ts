/** `{% block %}`: without a template that extends this one, a function that the template calls where the block stands. */
import { PyError, PyObject, type Value } from "../../../python/values/value.ts";
import { TemplateSyntaxError } from "../parse/errors.ts";
import { type BlockNode, descendants, type Statement, type TemplateNode } from "../parse/nodes.ts";
import { PyFunction } from "../runtime/objects.ts";
import { type Context, Frame } from "../runtime/frame.ts";
import { type Execute, Scope, type TemplateBlocks } from "./scope.ts";
import { analyze, findUndeclared } from "./symbols.ts";
import { Undefined } from "../runtime/undefined.ts";

type CompileBody = (body: readonly Statement[], scope: Scope) => Execute;

export function collectBlocks(template: TemplateNode): TemplateBlocks {
  const nodes = new Map<string, BlockNode>();
  for (const node of descendants(template)) {
    if (node.kind !== "Block") continue;
    if (nodes.has(node.name)) throw new TemplateSyntaxError(`block '${node.name}' defined twice`, node.line);
    nodes.set(node.name, node);
  }
  return { nodes, functions: new Map() };
}

/** A block has a frame of its own: it sees what the template was given and what it has set at its top level. */
export function compileBlock(
  node: BlockNode,
  blocks: TemplateBlocks,
  compileBody: CompileBody,
): (frame: Frame, context: Context) => void {
  const scope = new Scope(blocks);
  const setSelf = compileSelf(node.body, scope);
  const usesSuper = findUndeclared(node.body, ["super"]).has("super");
  if (usesSuper) scope.symbols.declareParameter("super");
  const setSuper = usesSuper ? scope.write("super") : null;
  analyze(scope.symbols, node);
  const enter = scope.enter();
  const body = compileBody(node.body, scope);
  const noParent = new Undefined(() => `there is no parent block called '${node.name}'.`);
  return (around, context) => {
    const frame = new Frame(scope.func.size, null, context, around.run, around.out);
    setSelf(frame);
    setSuper?.(frame, noParent);
    enter(frame);
    body(frame);
  };
}

/** A block is called at its place in the template. */
export function compileBlockCall(node: BlockNode, scope: Scope): Execute {
  const locals = [...scope.symbols.dumpStores()].map(([name, ref]) => [name, scope.readRef(ref)] as const);
  return (frame) => {
    if (node.required) throw new PyError("TemplateRuntimeError", `Required block '${node.name}' not found`);
    let { context } = frame;
    if (node.scoped) {
      const values = locals.map(([name, read]) => [name, read(frame)] as const);
      context = context.derive(
        new Map(values.filter((pair): pair is [string, Value] => pair[1] !== undefined)),
      );
    }
    frame.run.nested(() => scope.blocks.functions.get(node.name)!(frame, context));
    return 0;
  };
}

/** `self`, by which a template calls its own blocks, if it uses it. */
export function compileSelf(nodes: readonly Statement[], scope: Scope): (frame: Frame) => void {
  if (!findUndeclared(nodes, ["self"]).has("self")) return () => {};
  scope.symbols.declareParameter("self");
  const write = scope.write("self");
  return (frame) => write(frame, new TemplateReference(scope.blocks, frame));
}

class TemplateReference extends PyObject {
  readonly typeName = "TemplateReference";
  readonly #blocks: TemplateBlocks;
  readonly #frame: Frame;

  constructor(blocks: TemplateBlocks, frame: Frame) {
    super();
    this.#blocks = blocks;
    this.#frame = frame;
  }

  repr(): string {
    return "<TemplateReference None>";
  }

  override item(key: Value): Value | undefined {
    const run = typeof key === "string" ? this.#blocks.functions.get(key) : undefined;
    if (run === undefined) return undefined;
    return new PyFunction(() =>
      this.#frame.run.nested(() => {
        const outer = this.#frame.out;
        const out = { text: "" };
        this.#frame.out = out;
        run(this.#frame, this.#frame.context);
        this.#frame.out = outer;
        return out.text;
      })
    );
  }
}
