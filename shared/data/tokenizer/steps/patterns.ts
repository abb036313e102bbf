/** Oniguruma patterns, as tokenizer.json has them, as JavaScript's. */
import { SplitPreTokenizer } from "@huggingface/tokenizers";
import { LoraFleetError, messageOf, quote } from "../../../errors.ts";

/** A pattern in tokenizer.json: a literal text or Oniguruma's syntax. */
type PatternJson = { readonly String: string } | { readonly Regex: string };

/**
 * A `RegExp` with the flags `gu` that finds what Oniguruma finds. Throws a `LoraFleetError` with code `invalid_model`
 * for syntax that has no counterpart.
 */
export function compilePattern(pattern: PatternJson): RegExp {
  if ("String" in pattern) return new RegExp(RegExp.escape(pattern.String), "gu");
  const unsupported = UNSUPPORTED.find(({ syntax }) => syntax.test(pattern.Regex));
  if (unsupported !== undefined) throw unsupportedPattern(pattern.Regex, unsupported.what);
  try {
    // The package translates; what it passes over in silence is rewritten before.
    const split = new SplitPreTokenizer({
      type: "Split",
      pattern: { Regex: withoutPossessives(pattern.Regex).replaceAll("(?i:", "(?i-:") },
      behavior: "Isolated",
      invert: true,
    });
    if (split.pattern === null) throw new Error("no pattern");
    return split.pattern;
  } catch (cause) {
    throw unsupportedPattern(pattern.Regex, messageOf(cause));
  }
}

const UNSUPPORTED: readonly { readonly syntax: RegExp; readonly what: string }[] = [
  { syntax: /(?<!\\)(?:\\\\)*\\[XKRyYNOgG]/, what: "one of its escapes has no counterpart in JavaScript" },
  { syntax: /\(\?[a-z]*[mx-][a-z]*[:)]|\(\?[a-z]+\)/, what: "only the option group (?i:…) is known" },
  // Case-insensitive Oniguruma takes "ß" for "ss" and "ﬁ" for "fi".
  { syntax: /\(\?i:[^)]*(?:ss|st|ff|fi|fl)/i, what: "letters that fold together stand in (?i:…)" },
];

function unsupportedPattern(pattern: string, why: string): LoraFleetError {
  return new LoraFleetError(
    "invalid_model",
    `tokenizer.json: the pattern ${quote(pattern)} is not supported: ${why}`,
    { param: "tokenizer.json" },
  );
}

/**
 * Possessive quantifiers (`++`, `*+`, `?+`) and atomic groups give nothing back. JavaScript has neither; a lookahead that
 * captures, followed by what it captured, is the same. (`{2}+` is no possessive quantifier in Oniguruma's Ruby syntax.)
 */
export function withoutPossessives(pattern: string): string {
  let out = "";
  let atomStart = -1;
  let count = 0;
  const groups: { readonly start: number; readonly atomic: boolean }[] = [];
  const atomically = (start: number, body: string): void => {
    const name = `atomic${count++}`;
    out = `${out.slice(0, start)}(?=(?<${name}>${body}))\\k<${name}>`;
  };
  for (let at = 0; at < pattern.length;) {
    const rest = pattern.slice(at);
    const atom = /^(?:\\[pPxuk](?:\{[^}]*\}|<[^>]*>)|\\[^])/.exec(rest)?.[0] ?? characterClassAt(pattern, at);
    const group = /^\((?:\?(?:<[=!]|<\w+>|[a-z-]*:|[=!>]))?/.exec(rest)?.[0];
    const quantifier = /^(?:[*+?]|\{\d*,?\d*\})/.exec(rest)?.[0];
    if (atom !== null) {
      atomStart = out.length;
      out += atom;
      at += atom.length;
    } else if (group !== undefined) {
      groups.push({ start: out.length, atomic: group === "(?>" });
      out += group === "(?>" ? "(?:" : group;
      at += group.length;
      atomStart = -1;
    } else if (rest.startsWith(")")) {
      const { start, atomic } = groups.pop() ?? { start: out.length, atomic: false };
      out += ")";
      at++;
      if (atomic) {
        atomically(start, out.slice(start));
        out = `${out.slice(0, start)}(?:${out.slice(start)})`;
      }
      atomStart = start;
    } else if (quantifier !== undefined && atomStart >= 0) {
      const possessive = quantifier.length === 1 && rest[1] === "+";
      if (possessive) {
        atomically(atomStart, out.slice(atomStart) + quantifier);
        at += 2;
        atomStart = -1;
      } else {
        out += quantifier;
        at += quantifier.length;
        if (rest[quantifier.length] === "?") {
          out += "?";
          at++;
          atomStart = -1;
        }
      }
    } else {
      atomStart = rest.startsWith("|") ? -1 : out.length;
      const character = String.fromCodePoint(pattern.codePointAt(at)!);
      out += character;
      at += character.length;
    }
  }
  return out;
}

/** The class that begins at `start`, with the classes in it; null if none begins. */
function characterClassAt(pattern: string, start: number): string | null {
  if (pattern[start] !== "[") return null;
  let depth = 0;
  for (let at = start; at < pattern.length; at++) {
    const first = pattern[at - 1] === "[" || (pattern[at - 1] === "^" && pattern[at - 2] === "[");
    if (pattern[at] === "\\") at++;
    else if (pattern[at] === "[") depth++;
    else if (pattern[at] === "]" && !(first && depth > 0) && --depth === 0) {
      return pattern.slice(start, at + 1);
    }
  }
  return null;
}
