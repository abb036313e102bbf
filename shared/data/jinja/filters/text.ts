import { codePointLength } from "../../../python/text/code_points.ts";
import { dumps } from "../../../python/json/dumps.ts";
import { percentFormat } from "../../../python/format/percent_format.ts";
import { count, iterate, length, truthy } from "../../../python/values/protocols.ts";
import { str } from "../../../python/values/repr.ts";
import { replace, STR_METHODS } from "../../../python/methods/str_methods.ts";
import { slice } from "../../../python/values/subscript.ts";
import { capitalize } from "../../../python/text/case.ts";
import { splitLines, splitRight, strip } from "../../../python/methods/split.ts";
import { PyError, tuple, type Value } from "../../../python/values/value.ts";
import { SPACE_CLASS } from "../../../python/text/whitespace.ts";
import {
  attributeGetter,
  filter,
  type FilterFunction,
  optionalCount,
  or,
  requireText,
  textOf,
} from "./filter_function.ts";
import { Markup } from "../runtime/objects.ts";

const WORD_BEGIN = new RegExp(`([-({\\[<]|${SPACE_CLASS})+`, "g");

/** Letters at the beginning of words (after a hyphen, white space or an opening bracket) become capitals. */
function titleWords(text: string): string {
  let result = "";
  let at = 0;
  const word = (part: string) => {
    if (part === "") return "";
    const first = String.fromCodePoint(part.codePointAt(0)!);
    return first.toUpperCase() + part.slice(first.length).toLowerCase();
  };
  for (const match of text.matchAll(WORD_BEGIN)) {
    result += word(text.slice(at, match.index)) + match[0].toLowerCase();
    at = match.index + match[0].length;
  }
  return result + word(text.slice(at));
}

function indent(
  value: Value,
  width: Value | undefined,
  first: Value | undefined,
  blank: Value | undefined,
): string {
  const step = typeof width === "string" ? width : " ".repeat(Math.max(0, optionalCount(width, 4)));
  const lines = splitLines(`${requireText(value, "indent: the value")}\n`, false);
  const text = blank !== undefined && truthy(blank)
    ? lines.join(`\n${step}`)
    : lines.map((line, i) => i === 0 || line === "" ? line : step + line).join("\n");
  return first !== undefined && truthy(first) ? step + text : text;
}

function truncate(value: Value, ...args: (Value | undefined)[]): Value {
  const [size, killWords, end, leeway] = args;
  const limit = optionalCount(size, 255);
  const ending = end === undefined ? "..." : requireText(end, "truncate: the end");
  const slack = leeway === undefined || leeway === null ? 5 : count(leeway);
  if (limit < codePointLength(ending) || slack < 0) {
    throw new PyError("AssertionError", `expected length >= ${codePointLength(ending)}, got ${limit}`);
  }
  if (length(value) <= limit + slack) return value;
  const text = requireText(value, "truncate: the value");
  const cut = String(slice(text, null, BigInt(limit - codePointLength(ending)), null));
  return (killWords !== undefined && truthy(killWords) ? cut : splitRight(cut, " ", 1)[0]!) + ending;
}

/** `json.dumps` without escaping for HTML: transformers replaces Jinja2's own. */
const toJson = filter(
  "ensure_ascii?, indent?, separators?, sort_keys?",
  (value, ensureAscii, indent, separators, sortKeys) => {
    const isText = typeof indent === "string";
    return dumps(value instanceof Markup ? value.text : value, {
      ensureAscii: ensureAscii !== undefined && truthy(ensureAscii),
      indent: indent === undefined || indent === null ? null : isText ? indent : count(indent),
      separators: separatorsOf(separators),
      sortKeys: sortKeys !== undefined && truthy(sortKeys),
    });
  },
);

function separatorsOf(value: Value | undefined): readonly [string, string] | null {
  if (value === undefined || value === null) return null;
  const [item, key, ...more] = [...iterate(value)];
  if (key === undefined || more.length > 0) {
    throw new PyError("ValueError", "separators: two texts are needed");
  }
  return [requireText(item, "item separator"), requireText(key, "key separator")];
}

const format: FilterFunction = (value, args, kwargs) => {
  if (args.length > 0 && kwargs.size > 0) {
    throw new PyError(
      "FilterArgumentError",
      "can't handle positional and keyword arguments at the same time",
    );
  }
  return percentFormat(textOf(value), kwargs.size > 0 ? new Map<Value, Value>(kwargs) : tuple(args));
};

export const TEXT_FILTERS: Readonly<Record<string, FilterFunction>> = {
  capitalize: filter("", (value) => capitalize(textOf(value))),
  center: filter("width?", (value, width) => {
    const { run } = STR_METHODS.get("center")!;
    return run(textOf(value), [or(width, 80n)]);
  }),
  format,
  indent: filter("width?, first?, blank?", indent),
  join: filter("d?, attribute?", (value, separator, attribute) => {
    const get = attributeGetter(attribute);
    return Array.from(iterate(value), (item) => str(get(item))).join(
      separator === undefined ? "" : str(separator),
    );
  }),
  lower: filter("", (value) => textOf(value).toLowerCase()),
  replace: filter(
    "old, new, count?",
    (value, old, replacement, limit) =>
      replace(
        str(value),
        str(old!),
        str(replacement!),
        limit === undefined || limit === null ? -1 : count(limit),
      ),
  ),
  string: filter("", (value) => value instanceof Markup ? value : str(value)),
  title: filter("", (value) => titleWords(textOf(value))),
  tojson: toJson,
  trim: filter(
    "chars?",
    (value, chars) =>
      strip(
        textOf(value),
        chars === undefined || chars === null ? null : requireText(chars, "strip arg"),
        "both",
      ),
  ),
  truncate: filter("length?, killwords?, end?, leeway?", truncate),
  upper: filter("", (value) => textOf(value).toUpperCase()),
  wordcount: filter("", (value) => BigInt(textOf(value).match(/[\p{L}\p{N}_]+/gu)?.length ?? 0)),
};
