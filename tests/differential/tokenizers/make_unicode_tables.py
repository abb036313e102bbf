"""Measures which characters the Rust library takes for digits, punctuation, marks and so on.

    python -m venv venv && venv/bin/pip install tokenizers==0.23.3
    venv/bin/python tests/differential/tokenizers/make_unicode_tables.py

Every code point goes through the library itself, since its crates carry tables of several Unicode versions. Writes
shared/data/tokenizer/text/unicode_tables.ts and unicode_sets.json (SHA-256 of each set, for the test of the JavaScript
engine's own properties). Needs deno on the PATH for the engine's normalisation and case tables.
"""

import hashlib
import json
import subprocess
from pathlib import Path

from tokenizers import Regex, normalizers, pre_tokenizers

HERE = Path(__file__).parent
TABLES = HERE.parents[2] / "shared/data/tokenizer/text/unicode_tables.ts"
POINTS = [point for point in range(0x110000) if not 0xD800 <= point < 0xE000]
EVERYTHING = "".join(map(chr, POINTS))
FORMS = ["NFC", "NFD", "NFKC", "NFKD"]
# The properties that patterns of tokenizers use; Oniguruma's names.
PROPERTIES = [
    "L", "Lu", "Ll", "Lt", "Lm", "Lo", "M", "Mn", "Mc", "Me", "N", "Nd", "Nl", "No", "P", "Pc", "Pd", "Ps", "Pe", "Pi",
    "Pf", "Po", "S", "Sm", "Sc", "Sk", "So", "Z", "Zs", "C", "Cc", "Cf", "Alphabetic", "White_Space", "Han", "Hiragana",
    "Katakana", "Hangul", "Latin", "Cyrillic", "Greek", "Arabic", "Hebrew", "Thai", "Devanagari",
]
ENGINE = """
const lower = {}, forms = {NFC: {}, NFD: {}, NFKC: {}, NFKD: {}}, classes = {};
for (let point = 0; point < 0x110000; point++) {
  if (point >= 0xd800 && point < 0xe000) continue;
  const text = String.fromCodePoint(point);
  if (text.toLowerCase() !== text) lower[point] = text.toLowerCase();
  for (const form in forms) if (text.normalize(form) !== text) forms[form][point] = text.normalize(form);
  const plain = text.normalize("NFD");
  const late = (text + "\\u0334").normalize("NFD") !== plain + "\\u0334";
  const early = ("\\u0345" + text).normalize("NFD") !== "\\u0345" + plain;
  if (late || early) classes[point] = [late, early];
}
console.log(JSON.stringify({lower, forms, classes}));
"""


def ranges(points):
    spans = []
    for point in sorted(points):
        if spans and spans[-1][1] == point - 1:
            spans[-1][1] = point
        else:
            spans.append([point, point])
    return " ".join(f"{a:X}" if a == b else f"{a:X}-{b:X}" for a, b in spans)


def removed_by(pre_tokenizer):
    left = set()
    for piece, _ in pre_tokenizer.pre_tokenize_str(EVERYTHING):
        left.update(map(ord, piece))
    return set(POINTS) - left


def emptied_by(normalizer):
    return {point for point in POINTS if normalizer.normalize_str(chr(point)) == ""}


def bert(**options):
    return normalizers.BertNormalizer(**{
        "clean_text": False, "handle_chinese_chars": False, "strip_accents": False, "lowercase": False, **options})


def numeric():
    # Between letters a numeric character is a piece of its own.
    pieces = pre_tokenizers.Digits(individual_digits=True).pre_tokenize_str("a".join(EVERYTHING))
    return {ord(piece) for piece, _ in pieces if len(piece) == 1 and piece != "a"}


def word_characters():
    split = pre_tokenizers.Whitespace().pre_tokenize_str
    return {point for point in POINTS if len(split(f"!{chr(point)}!")) == 3}


def newer_than_normalization(engine):
    """Characters whose decomposition or combining class the crate does not know yet."""
    newer = set()
    for form in FORMS:
        normalizer = getattr(normalizers, form)()
        newer |= {p for p in POINTS if normalizer.normalize_str(chr(p)) != engine["forms"][form].get(str(p), chr(p))}
    decompose = normalizers.NFD().normalize_str
    for point in POINTS:
        text = chr(point)
        plain = decompose(text)
        late = decompose(text + "\u0334") != plain + "\u0334"
        early = decompose("\u0345" + text) != "\u0345" + plain
        if [late, early] != engine["classes"].get(str(point), [False, False]):
            newer.add(point)
    return newer


def newer_lowercase(engine):
    lower = normalizers.Lowercase().normalize_str
    return {p: lower(chr(p)) for p in POINTS if lower(chr(p)) != engine["lower"].get(str(p), chr(p))}


def main():
    engine = json.loads(subprocess.check_output(["deno", "eval", ENGINE], text=True))
    tables = {
        "NUMERIC": ("`char::is_numeric` of the Rust compiler that built the library.", numeric()),
        "PUNCTUATION": ("ASCII punctuation, and `is_punctuation` of unicode_categories 0.1.",
                        removed_by(pre_tokenizers.Punctuation("removed"))),
        "BERT_REMOVED": ("What `BertNormalizer.clean_text` drops: U+0000, U+FFFD and `is_other` of unicode_categories 0.1.",
                         emptied_by(bert(clean_text=True))),
        "BERT_ACCENTS": ("`is_mark_nonspacing` of unicode_categories 0.1.", emptied_by(bert(strip_accents=True))),
        "COMBINING_MARKS": ("`is_combining_mark` of unicode-normalization-alignments 0.1.",
                            emptied_by(normalizers.StripAccents())),
        "CHINESE": ("What `BertNormalizer.handle_chinese_chars` puts between spaces.",
                    {p for p in POINTS if len(bert(handle_chinese_chars=True).normalize_str(chr(p))) == 3}),
        "NEWER_NORMALIZATION": ("Decomposed or reordered by Unicode 16, unknown to unicode-normalization-alignments 0.1.",
                                newer_than_normalization(engine)),
    }
    lines = ["// Written by tests/differential/tokenizers/make_unicode_tables.py from tokenizers 0.23.3.",
             "// Ranges of code points in hexadecimal, measured at the Rust library character by character.", ""]
    for name, (what, points) in tables.items():
        lines += [f"/** {what} */", f"export const {name} =", f'  "{ranges(points)}";', ""]
    pairs = " ".join(f"{point:X}:{ord(text):X}" for point, text in sorted(newer_lowercase(engine).items()))
    lines += ["/** Lower case letters that the JavaScript engine's Unicode version lacks. */",
              "export const NEWER_LOWERCASE =", f'  "{pairs}";', ""]
    TABLES.write_text("\n".join(lines), encoding="utf-8")
    subprocess.run(["deno", "fmt", "-q", TABLES], check=True)

    sets = {name: removed_by(pre_tokenizers.Split(Regex(rf"\p{{{name}}}"), "removed")) for name in PROPERTIES}
    sets["whitespace"] = removed_by(pre_tokenizers.WhitespaceSplit())
    sets["onig_s"] = removed_by(pre_tokenizers.Split(Regex(r"\s"), "removed"))
    sets["onig_d"] = removed_by(pre_tokenizers.Split(Regex(r"\d"), "removed"))
    sets["word"] = word_characters()
    sets["numeric"], sets["punctuation"] = tables["NUMERIC"][1], tables["PUNCTUATION"][1]
    hashes = {name: hashlib.sha256(ranges(points).encode()).hexdigest() for name, points in sets.items()}
    (HERE / "unicode_sets.json").write_text(json.dumps(hashes, indent=1) + "\n")


if __name__ == "__main__":
    main()
