import { bind, parameters } from "../../../python/values/parameters.ts";
import { count } from "../../../python/values/protocols.ts";
import { str } from "../../../python/values/repr.ts";
import { type Kwargs, PyError, typeName, type Value } from "../../../python/values/value.ts";
import { getItem } from "../runtime/environment.ts";
import { Markup } from "../runtime/objects.ts";
import { Undefined } from "../runtime/undefined.ts";

export type Argument = Value | undefined;
export type FilterFunction = (value: Value, args: readonly Value[], kwargs: Kwargs) => Value;

/** A filter whose arguments after the value have names: see `parameters`. */
export function filter(signature: string, run: (value: Value, ...args: Argument[]) => Value): FilterFunction {
  const expected = parameters(signature);
  return (value, args, kwargs) => run(value, ...bind("filter", expected, args, kwargs));
}

/** `soft_str(value)`. */
export function textOf(value: Value): string {
  if (value instanceof Markup) return value.use();
  return typeof value === "string" ? value : str(value);
}

/** A text as it is; anything else is an error of Python's. */
export function requireText(value: Argument, what: string): string {
  if (typeof value === "string") return value;
  if (value instanceof Markup || value instanceof Undefined) return value.use();
  throw new PyError("TypeError", `${what} must be str, not ${typeName(value!)}`);
}

/** An argument, or its default: None is an argument. */
export function or(value: Argument, otherwise: Value): Value {
  return value === undefined ? otherwise : value;
}

export function optionalCount(value: Argument, otherwise: number): number {
  return value === undefined ? otherwise : count(value);
}

export function ignoreCase(value: Value): Value {
  return typeof value === "string" ? value.toLowerCase() : value;
}

/** `attribute="a.b.0"` as a function of an item; `otherwise` stands for what is undefined on the way. */
export function attributeGetter(attribute: Argument, otherwise?: Argument): (item: Value) => Value {
  const parts = attributeParts(attribute);
  return (item) => {
    for (const part of parts) {
      item = getItem(item, part);
      if (otherwise !== undefined && otherwise !== null && item instanceof Undefined) item = otherwise;
    }
    return item;
  };
}

/** `"a.0"` → ["a", 0n]. */
function attributeParts(attribute: Argument): readonly Value[] {
  if (attribute === undefined || attribute === null) return [];
  if (typeof attribute !== "string") return [attribute];
  return attribute.split(".").map((part) => /^\p{Nd}+$/u.test(part) ? BigInt(part) : part);
}
