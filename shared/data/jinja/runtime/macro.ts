import { type Kwargs, PyError, PyObject, tuple, type Value } from "../../../python/values/value.ts";
import { Undefined } from "./undefined.ts";

/** What a macro's signature and body ask for. */
export interface MacroShape {
  /** Null: a call block. */
  readonly name: string | null;
  readonly args: readonly string[];
  readonly takesCaller: boolean;
  readonly takesKwargs: boolean;
  readonly takesVarargs: boolean;
}

/** A macro, or what a call block hands over as `caller`. */
export class Macro extends PyObject {
  readonly typeName = "Macro";
  override readonly callable = true;
  readonly #shape: MacroShape;
  readonly #run: (args: readonly (Value | undefined)[]) => string;

  /** `run` gets the arguments in order (undefined: not given), then caller, kwargs and varargs if they are taken. */
  constructor(shape: MacroShape, run: (args: readonly (Value | undefined)[]) => string) {
    super();
    this.#shape = shape;
    this.#run = run;
  }

  repr(): string {
    return `<Macro ${this.#shape.name === null ? "anonymous" : `'${this.#shape.name}'`}>`;
  }

  override attribute(name: string): Value | undefined {
    if (name === "name") return this.#shape.name;
    if (name === "arguments") return tuple(this.#shape.args);
    if (name === "catch_kwargs") return this.#shape.takesKwargs;
    if (name === "catch_varargs") return this.#shape.takesVarargs;
    if (name === "caller") return this.#shape.takesCaller;
    return undefined;
  }

  override call(args: readonly Value[], kwargs: Kwargs): string {
    const { args: names, takesCaller, takesKwargs, takesVarargs } = this.#shape;
    const rest = new Map<Value, Value>(kwargs);
    const bound: (Value | undefined)[] = args.slice(0, names.length);
    let foundCaller = bound.length === names.length && names.includes("caller");
    for (const name of names.slice(bound.length)) {
      bound.push(rest.get(name));
      rest.delete(name);
      foundCaller ||= name === "caller";
    }
    if (takesCaller && !foundCaller) {
      bound.push(rest.get("caller") ?? new Undefined(() => "No caller defined"));
      rest.delete("caller");
    }
    if (takesKwargs) bound.push(rest);
    else if (rest.size > 0) throw this.#error(`takes no keyword argument '${[...rest.keys()][0]}'`);
    if (takesVarargs) bound.push(tuple(args.slice(names.length)));
    else if (args.length > names.length) {
      throw this.#error(`takes not more than ${names.length} argument(s)`);
    }
    return this.#run(bound);
  }

  #error(what: string): PyError {
    return new PyError("TypeError", `macro '${this.#shape.name ?? "caller"}' ${what}`);
  }
}
