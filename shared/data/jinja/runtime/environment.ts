/** How templates reach into values: jinja2/sandbox.py's `ImmutableSandboxedEnvironment`. */
import {
  DICT_METHODS,
  FLOAT_METHODS,
  INT_METHODS,
  LIST_METHODS,
  NUMBER_METHODS,
  numberAttribute,
  TUPLE_METHODS,
} from "../../../python/methods/container_methods.ts";
import { bind, type Method } from "../../../python/values/parameters.ts";
import { strFormat } from "../../../python/format/str_format.ts";
import { STR_METHODS } from "../../../python/methods/str_methods.ts";
import { subscript } from "../../../python/values/subscript.ts";
import { type Kwargs, PyError, PyObject, Tuple, typeName, type Value } from "../../../python/values/value.ts";
import { BoundMethod, GroupTuple, PyFunction, pyFunction } from "./objects.ts";
import { undefinedItem, unsafeAttribute } from "./undefined.ts";

/** Methods that change a list or a dict: the sandbox hides them. */
const LIST_CHANGES: ReadonlySet<string> = new Set(
  ["append", "clear", "pop", "reverse", "insert", "sort", "extend", "remove"],
);
const DICT_CHANGES: ReadonlySet<string> = new Set(["clear", "pop", "popitem", "setdefault", "update"]);
/** What every object of Python has; the sandbox hides it. */
const INTERNAL: ReadonlySet<string> = new Set(
  ("__class__ __delattr__ __dir__ __doc__ __eq__ __format__ __ge__ __getattribute__ __getstate__ __gt__ __hash__ " +
    "__init__ __init_subclass__ __le__ __lt__ __ne__ __new__ __reduce__ __reduce_ex__ __repr__ __setattr__ " +
    "__sizeof__ __str__ __subclasshook__").split(" "),
);
const EMPTY: ReadonlyMap<string, Method<never>> = new Map();

function methodsOf(value: Value): ReadonlyMap<string, Method<never>> {
  if (typeof value === "string") return STR_METHODS;
  if (value instanceof Tuple) return TUPLE_METHODS;
  if (Array.isArray(value)) return LIST_METHODS;
  if (value instanceof Map) return DICT_METHODS;
  return EMPTY;
}

function isHidden(value: Value, name: string): boolean {
  if (value instanceof Map) return DICT_CHANGES.has(name);
  return Array.isArray(value) && !(value instanceof Tuple) && LIST_CHANGES.has(name);
}

/** Python's `getattr` with the sandbox's rules; undefined if there is no such attribute. */
function attribute(value: Value, name: string): Value | undefined {
  if (value instanceof PyObject) {
    const found = value.attribute(name);
    if (found !== undefined) return found;
  } else {
    const method = methodsOf(value).get(name);
    if (method !== undefined) return new BoundMethod(name, value as never, method);
    if (typeof value === "string" && (name === "format" || name === "format_map")) {
      return formatter(value, name);
    }
    if (isHidden(value, name)) return unsafeAttribute(value, name);
    if (value instanceof GroupTuple && (name === "grouper" || name === "list")) return value[name];
    if (typeof value === "bigint" || typeof value === "number" || typeof value === "boolean") {
      const found = numericAttribute(value, name);
      if (found !== undefined) return found;
    }
  }
  return name.startsWith("__") && INTERNAL.has(name) ? unsafeAttribute(value, name) : undefined;
}

function numericAttribute(value: bigint | number | boolean, name: string): Value | undefined {
  const number = typeof value === "boolean" ? BigInt(value) : value;
  const own = typeof number === "bigint" ? INT_METHODS : FLOAT_METHODS;
  const method = own.get(name) ?? NUMBER_METHODS.get(name);
  return method === undefined ? numberAttribute(number, name) : new BoundMethod(name, number, method);
}

export function getAttribute(value: Value, name: string): Value {
  const found = attribute(value, name);
  if (found !== undefined) return found;
  const item = value instanceof Map || value instanceof PyObject ? subscript(value, name) : undefined;
  return item === undefined ? undefinedItem(value, name) : item;
}

export function getItem(value: Value, key: Value): Value {
  const item = subscript(value, key);
  if (item !== undefined) return item;
  const found = typeof key === "string" ? attribute(value, key) : undefined;
  return found === undefined ? undefinedItem(value, key) : found;
}

export function call(callee: Value, args: readonly Value[], kwargs: Kwargs): Value {
  if (callee instanceof PyObject) return callee.call(args, kwargs);
  throw new PyError("TypeError", `'${typeName(callee)}' object is not callable`);
}

/** `value.name(...)`, without an object in between if a plain value has the method. */
export function callMethod(value: Value, name: string, args: readonly Value[], kwargs: Kwargs): Value {
  if (!(value instanceof PyObject)) {
    const method = methodsOf(value).get(name);
    if (method !== undefined) return method.run(value as never, bind(name, method.parameters, args, kwargs));
  }
  return call(getAttribute(value, name), args, kwargs);
}

/** `text.format` looks its fields up by the sandbox's rules. */
function formatter(text: string, name: "format" | "format_map"): PyObject {
  const lookup = { attribute: getAttribute, item: getItem };
  if (name === "format") return new PyFunction((args, kwargs) => strFormat(text, args, kwargs, lookup));
  return pyFunction(name, "mapping, /", (mapping) => {
    if (!(mapping instanceof Map)) {
      throw new PyError("TypeError", `'${typeName(mapping!)}' object is not a mapping`);
    }
    return strFormat(text, [], mapping as Map<string, Value>, lookup);
  });
}
