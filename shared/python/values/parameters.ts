/** Python's binding of arguments to parameters. */
import { type Kwargs, PyError, type Value } from "./value.ts";

export const NO_KWARGS: Kwargs = new Map();

export interface Parameters {
  readonly names: readonly string[];
  /** How many of them have no default. */
  readonly required: number;
  /** Whether they may be given by name. */
  readonly byName: boolean;
}

/** `"sep, maxsplit?"`: names in order, the optional ones with "?"; a "/" at the end: by place alone. */
export function parameters(text: string): Parameters {
  const words = text.split(",").map((word) => word.trim()).filter((word) => word !== "");
  const byName = words.at(-1) !== "/";
  const names = byName ? words : words.slice(0, -1);
  return {
    names: names.map((name) => name.replace("?", "")),
    required: names.filter((name) => !name.endsWith("?")).length,
    byName,
  };
}

/** The arguments by place; one that is not given is undefined. Throws a `TypeError` of Python's. */
export function bind(
  name: string,
  { names, required, byName }: Parameters,
  args: readonly Value[],
  kwargs: Kwargs,
): readonly (Value | undefined)[] {
  if (args.length > names.length) {
    throw new PyError("TypeError", `${name}() takes ${plural(names.length)} but ${args.length} were given`);
  }
  if (kwargs.size === 0) {
    if (args.length < required) throw missing(name, names.slice(args.length, required));
    return args;
  }
  if (!byName) throw new PyError("TypeError", `${name}() takes no keyword arguments`);
  const bound: (Value | undefined)[] = [...args];
  for (const [key, value] of kwargs) {
    const at = names.indexOf(key);
    if (at === -1) throw new PyError("TypeError", `${name}() got an unexpected keyword argument '${key}'`);
    if (at < args.length) {
      throw new PyError("TypeError", `${name}() got multiple values for argument '${key}'`);
    }
    bound[at] = value;
  }
  const lacking = names.slice(0, required).filter((_, i) => bound[i] === undefined);
  if (lacking.length > 0) throw missing(name, lacking);
  return bound;
}

function missing(name: string, names: readonly string[]): PyError {
  const list = names.map((missing) => `'${missing}'`).join(" and ");
  return new PyError("TypeError", `${name}() missing ${names.length} required argument(s): ${list}`);
}

function plural(count: number): string {
  return count === 0 ? "no arguments" : `at most ${count} argument${count === 1 ? "" : "s"}`;
}

/** A method or function: `run` gets the bound arguments. */
export interface Method<Self> {
  readonly parameters: Parameters;
  run(self: Self, args: readonly (Value | undefined)[]): Value;
}

export function method<Self>(
  text: string,
  run: (self: Self, ...args: (Value | undefined)[]) => Value,
): Method<Self> {
  return { parameters: parameters(text), run: (self, args) => run(self, ...args) };
}
