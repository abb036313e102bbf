"""Writes alphabets.json: ranges of code points by general category, and fragments of text.

    python3 tests/differential/tokenizers/make_alphabets.py    # Python 3.11: Unicode 14
"""

import json
import unicodedata
from pathlib import Path

FRAGMENTS = [
    "Hello", " world", " the", " The", "ing", " of", " and", "don't", "it's", "'s", "'LL", "'ſ", "we've", "I'm", "n't", "a",
    " 1234567", "3.14", "١٢٣", " Ⅷ", "x²", "½", " ½", "①②", "१२३", "１２", " ٠", "𝟘𝟙", "²³", "Größe", "naïve", "façade", "Σίσυφος",
    "ΌΣΟΣ", "İstanbul", "ǅ", "ﬁn", "ſt", "ß", "ẞ", "K", "e\u0301", "\u00e9", "a\u0323\u0307", "a\u0307\u0323", "\u0301", "\u1112\u1161\u11ab",
    "한국어", "東京は", "日本の首都", "ガギ", "ｶﾞ", "ー", "你好，世界", "。", "、", "𠀀𠀁", "שלום", "مرحبا", "لا", "नमस्ते", "क्षि", "ภาษาไทย", "กำ",
    "👩‍👩‍👧", "🇩🇪🇫🇷", "👍🏽", "❤️", "☺", "🏴\U000e0067\U000e0062\U000e007f", "\u200d", "\u200b", "\u2060", "\ufe0f", "\u00ad", "\u034f",
    "def f(x):\n    return x  # 12\n", "\n\n\n", "\r\n\r\n", "    ", "\t\t", "!=", "...", "--", "__init__", "`", "“quoted”", "¿qué?", "€100", "+", "$", "^",
    "<|im_start|>", "<|im_end|>", "<s>", "</s>", "<unk>", "<pad>", "[MASK]", "[CLS]", "<cat>", "cat", "concat", "Cat", "<strip>", " <strip> ",
    "<LEFT>", "  <LEFT>", "<right>", "<right>  ", "<Norm>", "<norm>", "<NORM>", "<0x41>", "▁", "▁a", "Ġ", "Ċ", "##ing", "</w>", "<think>", "</think>", "ab",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "abababababababababababababababababababababab", "\u0000", "\ufffd", "\ufffe", "\U000f0000",
    "\U000e1000", "\U0010ffff", "\u0085", " \u0085", "\ufeff", "\u2028", "\u2029", "\U00011ca4", "\u0378", "\ua7ce", "\U00016ea0", "\U00011de0",
    "\U000105d2\u0307", "\U00011382\U000113c9", "\u1ac5", "\u32ff", "\u0345\u0897\u0334",
]


def main():
    classes = {}
    for point in range(0x110000):
        category = unicodedata.category(chr(point))
        if category != "Cs":
            classes.setdefault(category, []).append(point)
    # Most texts are of these, and the borders between the rules lie here.
    classes["ascii"] = list(range(0x20, 0x7F))
    classes["latin"] = list(range(0xA0, 0x250))
    classes["controls"] = [*range(0x20), *range(0x7F, 0xA0)]
    classes["spaces"] = [0x20, 0x20, 0x20, 9, 10, 13, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000, 0xFEFF, 0x200B]
    classes["emoji"] = [*range(0x1F300, 0x1F650), *range(0x1F3FB, 0x1F400), 0x200D, 0xFE0F, *range(0x1F1E6, 0x1F200)]
    classes["han"] = list(range(0x4E00, 0x4F00))
    classes["hangul"] = [*range(0xAC00, 0xAD00), *range(0x1100, 0x1200)]
    classes["indic"] = list(range(0x900, 0xDFF))
    classes["rtl"] = [*range(0x590, 0x700), *range(0x10800, 0x10A00), 0x200E, 0x200F, *range(0x202A, 0x202F)]
    text = json.dumps({"classes": {name: ranges(points) for name, points in classes.items()}, "fragments": FRAGMENTS}, indent=1)
    (Path(__file__).parent / "alphabets.json").write_text(text + "\n", encoding="utf-8")


def ranges(points):
    spans = []
    for point in points:
        if spans and spans[-1][1] == point - 1:
            spans[-1][1] = point
        else:
            spans.append([point, point])
    return " ".join(f"{a:X}" if a == b else f"{a:X}-{b:X}" for a, b in spans)


if __name__ == "__main__":
    main()
