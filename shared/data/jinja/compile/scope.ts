/** Where a template's variables live, known before it runs. */
import type { Value } from "../../../python/values/value.ts";
import type { BlockNode } from "../parse/nodes.ts";
import type { Frame } from "../runtime/frame.ts";
import { Symbols } from "./symbols.ts";

export type Evaluate = (frame: Frame) => Value;
/** How a statement ends: 0 normally, 1 by `break`, 2 by `continue`. */
export type Signal = 0 | 1 | 2;
export type Execute = (frame: Frame) => Signal;

/** What shares one `Frame`: every variable has a slot. */
export class FunctionScope {
  readonly parent: FunctionScope | null;
  readonly #slots = new Map<string, number>();
  /** How many loops are open around the place that is being compiled. */
  loops = 0;

  constructor(parent: FunctionScope | null) {
    this.parent = parent;
  }

  get size(): number {
    return this.#slots.size;
  }

  declare(ref: string): number {
    const known = this.#slots.get(ref);
    if (known !== undefined) return known;
    this.#slots.set(ref, this.#slots.size);
    return this.#slots.size - 1;
  }

  /** How many frames further out a variable lives, and its slot. */
  locate(ref: string): { depth: number; slot: number } {
    const own = this.#slots.get(ref);
    if (own !== undefined) return { depth: 0, slot: own };
    const outer = this.parent?.find(ref, 1);
    // A name that is analysed, but whose scope is never entered, is never set.
    return outer ?? { depth: 0, slot: this.declare(ref) };
  }

  find(ref: string, depth: number): { depth: number; slot: number } | undefined {
    const slot = this.#slots.get(ref);
    return slot === undefined ? this.parent?.find(ref, depth + 1) : { depth, slot };
  }
}

/** What the blocks of one template share while it is compiled. */
export interface TemplateBlocks {
  readonly nodes: ReadonlyMap<string, BlockNode>;
  /** How each block is run; filled after the template's body is compiled. */
  readonly functions: Map<string, (frame: Frame, context: Frame["context"]) => void>;
}

/** Jinja2's compiler frame. */
export class Scope {
  readonly symbols: Symbols;
  readonly func: FunctionScope;
  readonly blocks: TemplateBlocks;
  readonly isTopLevel: boolean;
  /** Inside a condition: an unknown filter is an error only when it is reached. */
  readonly isSoft: boolean;

  constructor(
    blocks: TemplateBlocks,
    symbols = new Symbols(null),
    func = new FunctionScope(null),
    options: { readonly isTopLevel?: boolean; readonly isSoft?: boolean } = {},
  ) {
    this.blocks = blocks;
    this.symbols = symbols;
    this.func = func;
    this.isTopLevel = options.isTopLevel ?? false;
    this.isSoft = options.isSoft ?? false;
  }

  /** A scope of its own inside this one; in a frame of its own if `func` is given. */
  inner(func = this.func): Scope {
    return new Scope(this.blocks, new Symbols(this.symbols), func);
  }

  soft(): Scope {
    return new Scope(this.blocks, this.symbols, this.func, { isTopLevel: this.isTopLevel, isSoft: true });
  }

  read(name: string): (frame: Frame) => Value | undefined {
    return this.readRef(this.symbols.find(name)!);
  }

  readRef(ref: string): (frame: Frame) => Value | undefined {
    const { depth, slot } = this.func.locate(ref);
    if (depth === 0) return (frame) => frame.vars[slot];
    if (depth === 1) return (frame) => frame.parent!.vars[slot];
    return (frame) => {
      let owner = frame;
      for (let i = 0; i < depth; i++) owner = owner.parent!;
      return owner.vars[slot];
    };
  }

  /** Sets a variable of this scope's frame. */
  write(name: string): (frame: Frame, value: Value | undefined) => void {
    const slot = this.func.declare(this.symbols.find(name)!);
    return (frame, value) => {
      frame.vars[slot] = value;
    };
  }

  /** Gives the variables of this scope what they hold where it begins. */
  enter(): (frame: Frame) => void {
    const actions: ((frame: Frame) => void)[] = [];
    for (const [ref, load] of this.symbols.loads) {
      const slot = this.func.declare(ref);
      if (load.kind === "resolve") {
        const { name } = load;
        actions.push((frame) => {
          frame.vars[slot] = frame.context.resolve(name);
        });
      } else if (load.kind === "alias") {
        const read = this.readRef(load.ref);
        actions.push((frame) => {
          frame.vars[slot] = read(frame);
        });
      } else if (load.kind === "undefined") {
        actions.push((frame) => {
          frame.vars[slot] = undefined;
        });
      }
    }
    return inOrder(actions);
  }

  /** Unsets the variables of this scope. */
  leave(): (frame: Frame) => void {
    const slots = [...this.symbols.loads.keys()].map((ref) => this.func.declare(ref));
    return (frame) => {
      for (const slot of slots) frame.vars[slot] = undefined;
    };
  }
}

function inOrder(actions: readonly ((frame: Frame) => void)[]): (frame: Frame) => void {
  if (actions.length === 0) return () => {};
  if (actions.length === 1) return actions[0]!;
  return (frame) => {
    for (const action of actions) action(frame);
  };
}
