/** Filters that make HTML or parts of addresses. */
import { iterateOrNull, listOf, truthy, use } from "../../../python/values/protocols.ts";
import { str } from "../../../python/values/repr.ts";
import { PyError, typeName, UnsupportedError, type Value } from "../../../python/values/value.ts";
import { SPACE_CLASS } from "../../../python/text/whitespace.ts";
import { filter, type FilterFunction } from "./filter_function.ts";
import { Markup } from "../runtime/objects.ts";
import { Undefined } from "../runtime/undefined.ts";

const ENTITIES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&#34;",
  "'": "&#39;",
};
const NAMED: Readonly<Record<string, string>> = {
  amp: "&",
  lt: "<",
  gt: ">",
  quot: '"',
  apos: "'",
  nbsp: "\xa0",
};

function escapeText(value: Value): string {
  return value instanceof Markup ? value.text : str(value).replace(/[&<>"']/g, (char) => ENTITIES[char]!);
}

/** markupsafe's `striptags`: comments and tags go, white space shrinks, entities become characters. */
function stripTags(text: string): string {
  const plain = text.replace(/<!--[\s\S]*?-->/g, "").replace(/<[\s\S]*?>/g, "");
  const shrunk = plain.split(new RegExp(`${SPACE_CLASS}+`)).filter((word) => word !== "").join(" ");
  return shrunk.replace(/&(#[xX]?[0-9a-fA-F]+|\w+);?/g, (whole, name: string) => {
    const point = /^#[xX]/.test(name) ? parseInt(name.slice(2), 16) : Number(name.slice(1));
    const char = name.startsWith("#") ? String.fromCodePoint(point) : NAMED[name];
    if (char === undefined) throw new UnsupportedError(`the entity ${whole} (filter striptags)`);
    return char;
  });
}

/** `urllib.parse.quote`. */
function quoteUrl(value: Value, forQuery: boolean): string {
  const quoted = encodeURIComponent(str(value)).replace(
    /[!'()*]/g,
    (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`,
  );
  return forQuery ? quoted.replaceAll("%20", "+") : quoted.replaceAll("%2F", "/");
}

function urlEncode(value: Value): string {
  if (typeof value === "string" || iterateOrNull(value) === null) return quoteUrl(value, false);
  const pairs = value instanceof Map ? [...value] : listOf(value).map((pair) => {
    const [key, item, ...more] = listOf(pair);
    if (item === undefined || more.length > 0) {
      throw new PyError("ValueError", "urlencode: pairs are needed");
    }
    return [key!, item] as const;
  });
  return pairs.map(([key, item]) => `${quoteUrl(key, true)}=${quoteUrl(item, true)}`).join("&");
}

function xmlAttributes(value: Value, autoSpace: Value | undefined): string {
  if (!(value instanceof Map)) {
    use(value);
    throw new PyError("AttributeError", `'${typeName(value)}' object has no attribute 'items'`);
  }
  const parts: string[] = [];
  for (const [key, item] of value) {
    if (item === null || item instanceof Undefined) continue;
    if (typeof key !== "string") throw new PyError("TypeError", "expected string or bytes-like object");
    if (/[ \t\n\r\f\v/>=]/.test(key)) {
      throw new PyError("ValueError", `Invalid character in attribute name: '${key}'`);
    }
    parts.push(`${escapeText(key)}="${escapeText(item)}"`);
  }
  const text = parts.join(" ");
  return text !== "" && (autoSpace === undefined || truthy(autoSpace)) ? ` ${text}` : text;
}

const escape = filter("", (value) => new Markup(escapeText(value)));

export const HTML_FILTERS: Readonly<Record<string, FilterFunction>> = {
  e: escape,
  escape,
  forceescape: filter("", (value) => new Markup(escapeText(value instanceof Markup ? value.text : value))),
  safe: filter("", (value) => new Markup(str(value))),
  striptags: filter("", (value) => stripTags(str(value))),
  urlencode: filter("", urlEncode),
  xmlattr: filter("autospace?", xmlAttributes),
};
