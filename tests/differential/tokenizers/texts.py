"""Seeded texts for the comparison of tokenizers; texts.ts makes the same ones from the same alphabets."""

import json
from pathlib import Path

ALPHABETS = json.loads((Path(__file__).parent / "alphabets.json").read_text(encoding="utf-8"))


def mulberry32(seed):
    """Whole numbers below 2^32 (Tommy Ettinger's mulberry32, public domain)."""
    state = seed & 0xFFFFFFFF
    imul = lambda a, b: (a * b) & 0xFFFFFFFF

    def draw(below):
        nonlocal state
        state = (state + 0x6D2B79F5) & 0xFFFFFFFF
        t = imul(state ^ (state >> 15), state | 1)
        t ^= (t + imul(t ^ (t >> 7), t | 61)) & 0xFFFFFFFF
        return ((t ^ (t >> 14)) & 0xFFFFFFFF) % below

    return draw


def members(ranges):
    points = []
    for span in ranges.split(" "):
        first, _, last = span.partition("-")
        points.extend(range(int(first, 16), int(last or first, 16) + 1))
    return points


CLASSES = [members(ranges) for ranges in ALPHABETS["classes"].values()]
FRAGMENTS = ALPHABETS["fragments"]


def make_texts(seed, count):
    draw = mulberry32(seed)
    pick = lambda items: items[draw(len(items))]
    character = lambda: chr(pick(pick(CLASSES)))
    texts = []
    for _ in range(count):
        parts = []
        for _ in range(1 + draw(12)):
            kind = draw(10)
            if kind < 4:
                parts.append(pick(FRAGMENTS))
            elif kind < 7:
                parts.append(character())
            elif kind == 7:
                parts.append(character() * (1 + draw(12)))
            elif kind == 8:
                members_of_one = pick(CLASSES)
                parts.append("".join(chr(pick(members_of_one)) for _ in range(1 + draw(6))))
            else:
                parts.append(pick([" ", "  ", "\n", "\r\n", "\t", " \n", "\u00a0", "\u0085", "\ufeff", "\u2028", "\u3000"]))
        texts.append("".join(parts))
    return texts
