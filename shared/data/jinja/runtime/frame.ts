/** What one rendering holds. */
import { PyError, type Value } from "../../../python/values/value.ts";

/** Passes of loops and calls of macros that one rendering may take: far more than any chat needs. */
const MAX_STEPS = 20_000_000;
/** The longest text that one rendering may write, in UTF-16 units. */
const MAX_TEXT = 1 << 28;
/** Python's own stack ends at about this many nested macros or loops. */
const MAX_DEPTH = 200;

/** Text that is being written: the template's own, or what a block captures. */
export interface Output {
  text: string;
}

/** The template's variables: those that it set at its top level, those that it was given, those of all templates. */
export class Context {
  readonly vars: Map<string, Value>;
  readonly #given: ReadonlyMap<string, Value>;
  readonly #globals: ReadonlyMap<string, Value>;

  constructor(
    given: ReadonlyMap<string, Value>,
    globals: ReadonlyMap<string, Value>,
    vars = new Map<string, Value>(),
  ) {
    this.#given = given;
    this.#globals = globals;
    this.vars = vars;
  }

  resolve(name: string): Value | undefined {
    const own = this.vars.get(name);
    if (own !== undefined) return own;
    const given = this.#given.get(name);
    return given !== undefined ? given : this.#globals.get(name);
  }

  /** A context of its own that knows further variables. */
  derive(locals: ReadonlyMap<string, Value>): Context {
    return new Context(this.#given, this.#globals, new Map([...this.vars, ...locals]));
  }
}

export class Run {
  readonly root: Output = { text: "" };
  /** What generation blocks wrote, as places in the root's text. */
  readonly generated: [number, number][] = [];
  #steps = 0;
  #depth = 0;

  step(): void {
    if (++this.#steps > MAX_STEPS) {
      throw new PyError("TemplateRuntimeError", `the template takes more than ${MAX_STEPS} steps`);
    }
    if (this.root.text.length > MAX_TEXT) {
      throw new PyError("TemplateRuntimeError", `the template writes more than ${MAX_TEXT} characters`);
    }
  }

  /** Runs a macro or a loop's recursion. */
  nested<T>(body: () => T): T {
    this.step();
    if (++this.#depth > MAX_DEPTH) throw new PyError("RecursionError", "maximum recursion depth exceeded");
    try {
      return body();
    } finally {
      this.#depth--;
    }
  }
}

/** The variables of one call: of the template itself, a macro, a recursive loop. An unset variable is undefined. */
export class Frame {
  readonly vars: (Value | undefined)[];
  readonly parent: Frame | null;
  readonly context: Context;
  readonly run: Run;
  out: Output;

  constructor(size: number, parent: Frame | null, context: Context, run: Run, out: Output) {
    this.vars = new Array(size).fill(undefined);
    this.parent = parent;
    this.context = context;
    this.run = run;
    this.out = out;
  }
}
