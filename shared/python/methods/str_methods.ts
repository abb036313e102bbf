/** The methods of Python's `str`. */
import { codePointLength, hasSurrogates, unitsOf } from "../text/code_points.ts";
import { checkText } from "../values/limits.ts";
import { type Method, method } from "../values/parameters.ts";
import { count, iterate, truthy, use } from "../values/protocols.ts";
import { sliceIndexes, subscript } from "../values/subscript.ts";
import { capitalize, caseFold, swapCase, title } from "../text/case.ts";
import { CLASSES } from "../text/classes.ts";
import { type Side, split, splitLines, splitRight, strip } from "./split.ts";
import { PyError, Tuple, tuple, typeName, UnsupportedError, type Value } from "../values/value.ts";

type Argument = Value | undefined;

/** Throws a `TypeError` of Python's. */
function text(value: Argument, what: string): string {
  if (typeof value === "string") return value;
  use(value!);
  throw new PyError("TypeError", `${what} must be str, not ${typeName(value!)}`);
}

const optionalText = (value: Argument, what: string) =>
  value === undefined || value === null ? null : text(value, what);
const optionalCount = (value: Argument, otherwise: number) => value === undefined ? otherwise : count(value);

/** `text[start:stop]`, and how many code points lie before it; null if start lies behind the text's end. */
function part(self: string, start: Argument, stop: Argument): { text: string; before: number } | null {
  if (start === undefined && stop === undefined) return { text: self, before: 0 };
  const size = codePointLength(self);
  if (start !== undefined && start !== null && count(start) > size) return null;
  const range = sliceIndexes(size, start ?? null, stop ?? null, null);
  const from = unitsOf(self, range.first);
  return { text: self.slice(from, unitsOf(self, range.first + range.count)), before: range.first };
}

function find(self: string, sought: string, start: Argument, stop: Argument, last: boolean): number {
  const within = part(self, start, stop);
  if (within === null) return -1;
  const at = last ? within.text.lastIndexOf(sought) : within.text.indexOf(sought);
  if (at === -1) return -1;
  return within.before + (hasSurrogates(within.text) ? codePointLength(within.text.slice(0, at)) : at);
}

function finder(last: boolean, throws: boolean): Method<string> {
  return method("sub, start?, end?, /", (self, sub, start, stop) => {
    const at = find(self, text(sub, "argument"), start, stop, last);
    if (at === -1 && throws) throw new PyError("ValueError", "substring not found");
    return BigInt(at);
  });
}

function countOf(self: string, sub: string, start: Argument, stop: Argument): bigint {
  const within = part(self, start, stop);
  if (within === null) return 0n;
  if (sub === "") return BigInt(codePointLength(within.text) + 1);
  return BigInt(within.text.split(sub).length - 1);
}

function edge(name: "startswith" | "endswith"): Method<string> {
  return method("prefix, start?, end?, /", (self, sought, start, stop) => {
    const options = sought instanceof Tuple ? sought : [sought!];
    for (const option of options) {
      if (typeof option === "string") continue;
      use(option);
      const what = sought instanceof Tuple
        ? "tuple for"
        : `${name} first arg must be str or a tuple of str, not`;
      throw new PyError("TypeError", `${what} ${typeName(option)}`);
    }
    const within = part(self, start, stop);
    if (within === null) return false;
    return (options as string[]).some((option) =>
      name === "startswith" ? within.text.startsWith(option) : within.text.endsWith(option)
    );
  });
}

function stripper(side: Side): Method<string> {
  return method("chars?, /", (self, chars) => strip(self, optionalText(chars, "strip arg"), side));
}

function justify(place: "left" | "right" | "center"): Method<string> {
  return method("width, fillchar?, /", (self, width, fill) => {
    const char = fill === undefined ? " " : text(fill, "The fill character");
    if (codePointLength(char) !== 1) {
      throw new PyError("TypeError", "The fill character must be exactly one character long");
    }
    const missing = count(width!) - codePointLength(self);
    if (missing <= 0) return self;
    checkText(missing);
    // CPython's rule for a centre that is not exact.
    const left = place === "left"
      ? 0
      : place === "right"
      ? missing
      : Math.floor(missing / 2) + (missing & count(width!) & 1);
    return char.repeat(left) + self + char.repeat(missing - left);
  });
}

function partition(last: boolean): Method<string> {
  return method("sep, /", (self, sep) => {
    const separator = text(sep, "argument");
    if (separator === "") throw new PyError("ValueError", "empty separator");
    const at = last ? self.lastIndexOf(separator) : self.indexOf(separator);
    if (at === -1) return tuple(last ? ["", "", self] : [self, "", ""]);
    return tuple([self.slice(0, at), separator, self.slice(at + separator.length)]);
  });
}

/** `self.replace(old, new, limit)`; a negative limit is none. */
export function replace(self: string, old: string, replacement: string, limit: number): string {
  if (limit === 0) return self;
  if (old === "") return insertBetween(self, replacement, limit);
  const parts = self.split(old);
  if (parts.length === 1) return self;
  checkText(self.length + (parts.length - 1) * replacement.length);
  if (limit < 0 || parts.length <= limit + 1) return parts.join(replacement);
  return [...parts.slice(0, limit), parts.slice(limit).join(old)].join(replacement);
}

function insertBetween(self: string, insert: string, limit: number): string {
  const characters = Array.from(self);
  const places = limit < 0 ? characters.length + 1 : Math.min(limit, characters.length + 1);
  checkText(self.length + places * insert.length);
  let result = "";
  for (let i = 0; i <= characters.length; i++) result += (i < places ? insert : "") + (characters[i] ?? "");
  return result;
}

/** `separator.join(items)`. */
export function join(separator: string, items: Iterable<Value>): string {
  const texts: string[] = [];
  for (const item of items) {
    if (typeof item !== "string") {
      throw new PyError(
        "TypeError",
        `sequence item ${texts.length}: expected str instance, ${typeName(item)} found`,
      );
    }
    texts.push(item);
  }
  return texts.join(separator);
}

function expandTabs(self: string, size: number): string {
  let column = 0;
  let result = "";
  for (const char of self) {
    if (char === "\t") {
      const spaces = size > 0 ? size - (column % size) : 0;
      result += " ".repeat(spaces);
      column += spaces;
    } else {
      result += char;
      column = char === "\n" || char === "\r" ? 0 : column + 1;
    }
    checkText(result.length);
  }
  return result;
}

function zeroFill(self: string, width: number): string {
  const missing = width - codePointLength(self);
  if (missing <= 0) return self;
  checkText(missing);
  const sign = self[0] === "+" || self[0] === "-" ? self[0] : "";
  return sign + "0".repeat(missing) + self.slice(sign.length);
}

function translate(self: string, table: Value): string {
  let result = "";
  for (const char of self) {
    const found = subscript(table, BigInt(char.codePointAt(0)!));
    if (found === undefined) result += char;
    else if (typeof found === "bigint") result += String.fromCodePoint(Number(found));
    else if (found !== null) result += text(found, "character mapping");
  }
  return result;
}

/** `format` and `format_map` are not here: they look into values, which the template's environment must do. */
export const STR_METHODS: ReadonlyMap<string, Method<string>> = new Map(Object.entries({
  capitalize: method("/", capitalize),
  casefold: method("/", caseFold),
  center: justify("center"),
  count: method(
    "sub, start?, end?, /",
    (self, sub, start, stop) => countOf(self, text(sub, "argument"), start, stop),
  ),
  encode: method("encoding?, errors?", () => {
    throw new UnsupportedError("bytes (the method encode)");
  }),
  endswith: edge("endswith"),
  expandtabs: method("tabsize?", (self, size) => expandTabs(self, optionalCount(size, 8))),
  find: finder(false, false),
  index: finder(false, true),
  join: method("iterable, /", (self, items) => join(self, iterate(items!))),
  ljust: justify("left"),
  lower: method("/", (self) => self.toLowerCase()),
  lstrip: stripper("left"),
  maketrans: method("x, y?, z?, /", () => {
    throw new UnsupportedError("the method maketrans");
  }),
  partition: partition(false),
  removeprefix: method("prefix, /", (self, prefix) => {
    const start = text(prefix, "removeprefix() argument");
    return start !== "" && self.startsWith(start) ? self.slice(start.length) : self;
  }),
  removesuffix: method("suffix, /", (self, suffix) => {
    const end = text(suffix, "removesuffix() argument");
    return end !== "" && self.endsWith(end) ? self.slice(0, -end.length) : self;
  }),
  replace: method(
    "old, new, count?, /",
    (self, old, replacement, limit) =>
      replace(
        self,
        text(old, "replace() argument 1"),
        text(replacement, "replace() argument 2"),
        optionalCount(limit, -1),
      ),
  ),
  rfind: finder(true, false),
  rindex: finder(true, true),
  rjust: justify("right"),
  rpartition: partition(true),
  rsplit: method(
    "sep?, maxsplit?",
    (self, sep, limit) => splitRight(self, optionalText(sep, "sep"), optionalCount(limit, -1)),
  ),
  rstrip: stripper("right"),
  split: method(
    "sep?, maxsplit?",
    (self, sep, limit) => split(self, optionalText(sep, "sep"), optionalCount(limit, -1)),
  ),
  splitlines: method("keepends?", (self, keep) => splitLines(self, keep !== undefined && truthy(keep))),
  startswith: edge("startswith"),
  strip: stripper("both"),
  swapcase: method("/", swapCase),
  title: method("/", title),
  translate: method("table, /", (self, table) => translate(self, table!)),
  upper: method("/", (self) => self.toUpperCase()),
  zfill: method("width, /", (self, width) => zeroFill(self, count(width!))),
  ...Object.fromEntries(Object.entries(CLASSES).map(([name, holds]) => [name, method<string>("/", holds)])),
}));
