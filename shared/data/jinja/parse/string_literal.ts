import { UnsupportedError } from "../../../python/values/value.ts";
import { TemplateSyntaxError } from "./errors.ts";

const ESCAPE = /\\(?:([0-7]{1,3})|x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(N)\{|([\s\S]|$))/g;
const SIMPLE: Readonly<Record<string, string>> = {
  "\n": "",
  "\\": "\\",
  "'": "'",
  '"': '"',
  a: "\x07",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
  v: "\v",
};

/**
 * The text that a string literal's inside means: Jinja2 writes what is beyond ASCII as escapes and then decodes all
 * escapes as Python does, so that a backslash before "é" gives `\xe9`.
 */
export function unescapeString(inside: string, line: number): string {
  if (!inside.includes("\\")) return inside;
  const ascii = inside.replace(
    /\\([\s\S])/gu,
    (pair, char: string) => char > "\x7f" ? `\\\\${escapeOf(char.codePointAt(0)!)}` : pair,
  );
  return ascii.replace(ESCAPE, (whole, octal, x, u, long, named, other) => {
    if (octal !== undefined) return String.fromCodePoint(parseInt(octal, 8));
    const hex = x ?? u ?? long;
    if (hex !== undefined) {
      const point = parseInt(hex, 16);
      if (point > 0x10ffff) throw new TemplateSyntaxError("illegal Unicode character", line);
      return String.fromCodePoint(point);
    }
    if (named !== undefined) throw new UnsupportedError(`the character name in "${whole}..." (\\N{...})`);
    if (other === "x" || other === "u" || other === "U" || other === "N" || other === "") {
      throw new TemplateSyntaxError(`truncated \\${other} escape`, line);
    }
    return SIMPLE[other] ?? whole;
  });
}

function escapeOf(point: number): string {
  if (point <= 0xff) return `x${point.toString(16)}`;
  return point <= 0xffff
    ? `u${point.toString(16).padStart(4, "0")}`
    : `U${point.toString(16).padStart(8, "0")}`;
}
