import { fromKeys, setItem } from "../../python/methods/container_methods.ts";
import { bind, parameters } from "../../python/values/parameters.ts";
import { count, iterate, listOf } from "../../python/values/protocols.ts";
import { Range } from "../../python/values/range.ts";
import { repr, str } from "../../python/values/repr.ts";
import { strftime } from "../../python/format/strftime.ts";
import {
  type Kwargs,
  PyError,
  PyObject,
  typeName,
  UnsupportedError,
  type Value,
} from "../../python/values/value.ts";
import { Namespace, PyFunction, pyFunction, Unprintable } from "./runtime/objects.ts";

/** Jinja2's sandbox refuses longer ranges. */
const MAX_RANGE = 100_000;

function range(args: readonly Value[]): Value {
  if (args.length === 0 || args.length > 3) {
    throw new PyError("TypeError", `range expected 1 to 3 arguments, got ${args.length}`);
  }
  const [first, second, step = 1] = args.map(count);
  if (step === 0) throw new PyError("ValueError", "range() arg 3 must not be zero");
  const made = second === undefined ? new Range(0, first!, step) : new Range(first!, second, step);
  if (made.length() > MAX_RANGE) {
    throw new PyError(
      "OverflowError",
      `Range too big. The sandbox blocks ranges larger than MAX_RANGE (${MAX_RANGE}).`,
    );
  }
  return made;
}

function dict(args: readonly Value[], kwargs: Kwargs): Map<Value, Value> {
  if (args.length > 1) throw new PyError("TypeError", `dict expected at most 1 argument, got ${args.length}`);
  const made = new Map<Value, Value>();
  const [source] = args;
  if (source instanceof Map) { for (const [key, value] of source) made.set(key, value); }
  else if (source !== undefined) {
    for (const pair of iterate(source)) {
      const [key, value, ...more] = listOf(pair);
      if (key === undefined || value === undefined || more.length > 0) {
        throw new PyError("ValueError", "dictionary update sequence element: length 2 is required");
      }
      setItem(made, key, value);
    }
  }
  for (const [key, value] of kwargs) made.set(key, value);
  return made;
}

/** `cycler(...)`: goes round its items. */
class Cycler extends Unprintable {
  readonly typeName = "Cycler";
  readonly #items: readonly Value[];
  #at = 0;

  constructor(items: readonly Value[]) {
    super();
    if (items.length === 0) throw new PyError("RuntimeError", "at least one item has to be provided");
    this.#items = items;
  }

  override attribute(name: string): Value | undefined {
    if (name === "current") return this.#items[this.#at]!;
    if (name === "pos") return BigInt(this.#at);
    if (name === "items") return [...this.#items];
    if (name === "next") return pyFunction("next", "", () => this.#next());
    if (name === "reset") {
      return pyFunction("reset", "", () => {
        this.#at = 0;
        return null;
      });
    }
    return undefined;
  }

  #next(): Value {
    const item = this.#items[this.#at]!;
    this.#at = (this.#at + 1) % this.#items.length;
    return item;
  }
}

const JOINER = parameters("sep?");

/** `joiner(sep)`: nothing at the first call, the separator from then on. */
class Joiner extends Unprintable {
  readonly typeName = "Joiner";
  override readonly callable = true;
  readonly #separator: Value;
  #used = false;

  constructor(separator: Value) {
    super();
    this.#separator = separator;
  }

  override call(): Value {
    if (this.#used) return this.#separator;
    this.#used = true;
    return "";
  }
}

/** `now`: the date that `strftime_now` writes; null: the template finds no `strftime_now`. */
export function createGlobals(now: Date | null): Map<string, Value> {
  const globals = new Map<string, PyObject>(Object.entries({
    range: new PyFunction((args, kwargs) => {
      if (kwargs.size > 0) throw new PyError("TypeError", "range() takes no keyword arguments");
      return range(args);
    }),
    dict: new PyFunction(
      dict,
      new Map([[
        "fromkeys",
        pyFunction("fromkeys", "iterable, value?", (keys, value) => fromKeys(keys!, value)),
      ]]),
    ),
    lipsum: new PyFunction(() => {
      throw new UnsupportedError("the function lipsum, whose text is random");
    }),
    cycler: new PyFunction((args) => new Cycler(args)),
    joiner: new PyFunction((args, kwargs) => {
      const [separator] = bind("joiner", JOINER, args, kwargs);
      return new Joiner(separator === undefined ? ", " : separator);
    }),
    namespace: new PyFunction((args, kwargs) => new Namespace(dict(args, kwargs), repr)),
    raise_exception: pyFunction("raise_exception", "message", (message) => {
      throw new PyError("TemplateError", str(message!));
    }),
  }));
  if (now !== null) {
    globals.set(
      "strftime_now",
      pyFunction("strftime_now", "format", (format) => {
        if (typeof format === "string") return strftime(now, format);
        throw new PyError("TypeError", `strftime() argument 1 must be str, not ${typeName(format!)}`);
      }),
    );
  }
  return globals;
}
