/**
 * Classes of characters and mappings as the Rust library has them. Its crates carry Unicode tables of several versions,
 * none of which need be the JavaScript engine's; if they differ, the measured tables decide.
 */
import {
  BERT_ACCENTS,
  BERT_REMOVED,
  CHINESE,
  COMBINING_MARKS,
  NEWER_LOWERCASE,
  NEWER_NORMALIZATION,
  NUMERIC,
  PUNCTUATION,
} from "./unicode_tables.ts";

/** The inside of a character class for a `RegExp` with flag `u`. */
export const characters = {
  /** `char::is_whitespace`, `\s` of both regex crates; JavaScript's `\s` has U+FEFF and lacks U+0085. */
  whitespace: "\\p{White_Space}",
  /** `\w` of the regex crate. */
  word: "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\u200c\\u200d",
  numeric: classOf(NUMERIC),
  punctuation: classOf(PUNCTUATION),
  chinese: classOf(CHINESE),
  bertRemoved: classOf(BERT_REMOVED),
  bertAccents: classOf(BERT_ACCENTS),
  combiningMarks: classOf(COMBINING_MARKS),
} as const;

/** "41-5A 61" → "\u{41}-\u{5A}\u{61}". */
function classOf(ranges: string): string {
  return ranges.replace(/[0-9A-F]+/g, (point) => `\\u{${point}}`).replaceAll(" ", "");
}

const NEWER_LETTERS = new Map(
  NEWER_LOWERCASE.split(" ").map((pair) =>
    pair.split(":").map((point) => String.fromCodePoint(parseInt(point, 16))) as [string, string]
  ),
);
const LOWERED_OTHERWISE = new RegExp(`[Σ${[...NEWER_LETTERS.keys()].join("")}]`, "gu");

/** Character by character, so that a sigma at a word's end becomes σ, as any other. */
export function toLowerCase(text: string): string {
  return text.replace(LOWERED_OTHERWISE, (letter) => NEWER_LETTERS.get(letter) ?? "σ").toLowerCase();
}

type NormalizationForm = "NFC" | "NFD" | "NFKC" | "NFKD";

/** Unassigned in every version, hence starters without a decomposition, as newer characters are to an older table. */
const STAND_INS = "\\u{e2000}-\\u{effff}";
const FIRST_STAND_IN = 0xe2000;
const ALL_STAND_INS = new RegExp(`[${STAND_INS}]`, "gu");
/** Newer characters, those that compose to newer ones with what follows, and what looks like a stand-in. */
const NEWER_AND_BASES = new RegExp(
  `[${classOf(NEWER_NORMALIZATION)}${basesOf(NEWER_NORMALIZATION)}${STAND_INS}]`,
  "u",
);
const ALL_NEWER = new RegExp(NEWER_AND_BASES.source, "gu");
const NOT_ASCII = /[^\0-\x7f]/;

/** Normalises by the Unicode version of the Rust crate: what is newer stays as it is. */
export function normalize(text: string, form: NormalizationForm): string {
  if (!NOT_ASCII.test(text)) return text;
  if (!NEWER_AND_BASES.test(text)) return text.normalize(form);
  const standIns = new Map<string, string>();
  const characters = new Map<string, string>();
  const known = text.replace(ALL_NEWER, (character) => {
    const standIn = standIns.get(character) ?? String.fromCodePoint(FIRST_STAND_IN + standIns.size);
    standIns.set(character, standIn);
    characters.set(standIn, character);
    return standIn;
  });
  return known.normalize(form).replace(ALL_STAND_INS, (standIn) => characters.get(standIn) ?? standIn);
}

function basesOf(ranges: string): string {
  const bases = new Set<string>();
  for (const span of ranges.split(" ")) {
    const [first, last] = span.split("-").map((point) => parseInt(point, 16));
    for (let point = first!; point <= (last ?? first!); point++) {
      const decomposed = String.fromCodePoint(point).normalize("NFD");
      bases.add(String.fromCodePoint(decomposed.codePointAt(0)!));
    }
  }
  return [...bases].join("");
}
