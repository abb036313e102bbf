"""Makes shared/python/json/python_goldens.json: what CPython (3.11) reads from JSON texts and how it prints the values.

    python make_python_goldens.py

Everything is made here from a seed. Tests read the written file alone.
"""

import json
import random
from pathlib import Path

TARGET = Path(__file__).parents[2] / "shared/python/json/python_goldens.json"

NUMBERS = """0 -0 1 -1 10 007x 9007199254740991 9007199254740992 9007199254740993 -9007199254740993 123456789012345
1234567890123456 18446744073709551616 123456789012345678901234567890 0.0 -0.0 1.0 -1.0 0.1 0.5 1.5 100.0 1e5 1E5 1e+5 1e-5 1e-4 0.0001 0.00012
0.00001 1e-07 1.5e-07 1e15 1e16 1e17 1e21 1e22 1e23 123456789012345680.0 1234567890123456.0 12345678901234567.0 9999999999999998.0
5e-324 2.2250738585072014e-308 1.7976931348623157e308 1e400 -1e400 0.30000000000000004 2.675 1e100 NaN Infinity -Infinity
3.141592653589793 4.35 0.000123456789 100000000000000000000.5""".split()
TEXTS = [
    "", "a", "it's", 'say "hi"', "it's \"both\"", "back\\slash", "tab\tnew\nline\rcr\f\b\v\0\x1b\x7f", "\x80\x85\xa0\xad", "é", "日本語",
    "🙂", "👩‍👩‍👧", "\u200b\u200e\u2028\u2029\u202f\u3000\ufeff", "\ue000", "\U000e0041", "\ud800", "\udc00x", "a\u0301", "</script>&<>'", "\ufffe\uffff", "\U0010ffff",
    "{}", "$&", "\\u0041", "%s",
]
SNIPPETS = [
    "[]", "{}", "[[]]", "[{}]", '{"a":{}}', '{"a": [1, 2.0, true, false, null]}', '{"10": 1, "9": 2, "b": 3, "a": 4, "1": 5}',
    '{"a": 1, "b": 2, "a": 3}', ' \n\t\r[1 ,\n2 ]\n', '{"\\u00e9": "\\ud83d\\ude00", "x": "\\ud83d", "": "\\/\\"\\\\\\b\\f\\n\\r\\t"}', '"\\u0041\\u00DF\\u20ac"',
    '{"__proto__": {"x": 1}, "constructor": 2, "toString": 3}', '[{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}]',
    '{"\\ue000": 1, "\\ud83d\\ude00": 2, "z": 3, "\\u00e9": 4}', "true", "null", '""',
]
BROKEN = [
    "", " ", "{", "[", "[1", "[1,", "[1,]", "[,1]", "[1 2]", "{,}", '{"a"}', '{"a":}', '{"a":1,}', '{"a":1', '{a:1}', "{'a':1}", '{1:2}', '"abc', '"a\nb"', '"\\x41"', '"\\u12"', '"\\u12g4"',
    "01", "-", "+1", ".5", "1.", "1e", "1e+", "--1", "0x10", "tru", "True", "None", "nul", "nan", "inf", "-inf", "[1]]", '{"a":1}}', "1 2", '"a" "b"', "/* c */ 1", "[1]//", "\ufeff1", "\u00a01",
    "[" * 1200 + "]" * 1200, '{"a":' * 1200 + "1" + "}" * 1200, "9" * 4301, "undefined", "[NaN, nan]", '"\\"', '"\\', "-Inf", "١", '"\x00"', '{"a" 1}', '{"a":1 "b":2}',
]


def random_value(rng: random.Random, depth: int = 0):
    kind = rng.randrange(9 if depth < 4 else 6)
    if kind == 0:
        return rng.choice([True, False, None])
    if kind == 1:
        return rng.randrange(-(2 ** rng.randrange(1, 90)), 2 ** rng.randrange(1, 90))
    if kind == 2:
        return rng.uniform(-1, 1) * 10.0 ** rng.randrange(-30, 30)
    if kind == 3:
        return round(rng.uniform(-1000, 1000), rng.randrange(4))
    if kind in (4, 5):
        return random_text(rng)
    if kind in (6, 7):
        return {random_text(rng): random_value(rng, depth + 1) for _ in range(rng.randrange(5))}
    return [random_value(rng, depth + 1) for _ in range(rng.randrange(5))]


def random_text(rng: random.Random) -> str:
    ranges = [(0x20, 0x7F), (0x20, 0x7F), (0x20, 0x7F), (0, 0x20), (0x7F, 0x250), (0x370, 0x400), (0x1F600, 0x1F640), (0x2000, 0x2070), (0x30, 0x3A), (0x22, 0x28)]
    return "".join(chr(rng.randrange(*rng.choice(ranges))) for _ in range(rng.randrange(8)))


def printed(value) -> dict:
    return {
        "repr": repr(value),
        "json": json.dumps(value, ensure_ascii=False),
        "ascii": json.dumps(value),
        "indented": json.dumps(value, ensure_ascii=False, indent=2, sort_keys=True),
        "tabbed": json.dumps(value, ensure_ascii=False, indent="\t", separators=(" ,", "=")),
        "compact": json.dumps(value, ensure_ascii=False, separators=(",", ":")),
    }


def is_broken(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return True
    return False


def main() -> None:
    rng = random.Random(20)
    texts = [number for number in NUMBERS if not is_broken(number)] + SNIPPETS
    texts += [json.dumps(text, ensure_ascii=ascii) for text in TEXTS for ascii in ((True,) if "\ud800" <= text[:1] < "\ue000" else (True, False))]
    for _ in range(150):
        texts.append(json.dumps(random_value(rng), ensure_ascii=rng.random() < 0.5, indent=rng.choice([None, None, 1])))
    read = [{"text": text, **printed(json.loads(text))} for text in texts]
    broken = [text for text in BROKEN if is_broken(text)]
    assert broken == BROKEN, set(BROKEN) - set(broken)
    TARGET.write_text(json.dumps({"read": read, "broken": broken}, indent=0) + "\n")


if __name__ == "__main__":
    main()
