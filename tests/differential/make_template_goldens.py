"""Makes shared/data/jinja/jinja_goldens.json.gz: what transformers' Jinja2 environment makes of templates of ours.

    pip install transformers==5.23.0 jinja2==3.1.6
    python make_template_goldens.py [--seed 20] [--count 6000] [--out FILE]

Three kinds: every operator, filter, test and method on odd values; snippets (snippets.txt) that try one construct each;
templates from a seeded generator. Tests read the written file alone. Another seed makes a file for a long comparison.
"""

import argparse
import gzip
import itertools
import json
import random
import re
import signal
from pathlib import Path

from jinja_reference import render_source
from template_generator import TemplateGenerator, fragments

HERE = Path(__file__).parent
TARGET = HERE.parents[1] / "shared/data/jinja/jinja_goldens.json.gz"

VALUES = r"""{
 "zero": 0, "three": 3, "minus": -7, "big": 123456789012345678901, "half": 0.5, "whole": 2.0, "tiny": 1e-07, "huge": 1e+16, "neg": -2.675,
 "yes": true, "no": false, "nil": null, "empty": "", "text": "Hello World", "odd": "Größe ßẞ ǆ 🙂 ﬁ\u00a0\u2028x", "digits": "0042", "number": "-3.5e2", "spaced": "\t a  b\u0085c \n", "lines": "one\ntwo\r\n\nthree",
 "quoted": "it's \"q\" \\ <b>&amp;</b>", "marks": "--a-b--", "format": "%s-%d {} {0[1]}", "list": [3, 1, 2], "words": ["b", "a", "C", "aa"], "mixed": [1, "a", null, true, 1.0, [1], {"k": 1}], "nothing": [],
 "dict": {"b": 1, "10": 2, "a": [1, 2.5], "items": "own", "x y": null}, "nested": {"a": {"b": [{"c": "deep"}]}}, "void": {},
 "rows": [{"name": "x", "n": 2, "on": true}, {"name": "Y", "n": 1, "on": false}, {"name": "z", "n": 1, "on": null, "tags": ["t"]}]
}"""
NAMES = list(json.loads(VALUES)) + ["missing"]
FILTERS = """abs capitalize count d default dictsort escape filesizeformat first float int items|list join last length list lower max min reverse|list round safe sort string striptags sum title tojson trim
unique|list upper urlencode wordcount center(15) batch(2)|list slice(2)|list slice(2,'x')|list batch(2,'-')|list indent indent(2,true) indent('>',blank=true) truncate(5) truncate(6,true,'..',0) replace('a','<b>') replace('',1,2) join(', ')
int(7) int(base=16) int(none) float(1) round(1) round(-1) round(2,'ceil') round(0,'floor') format(1) format('x',2) attr('name') attr('items') map('string')|join(',') map(attribute='name')|join map(attribute='tags.0',default='?')|join
map('upper')|list map('int')|list select|list reject|list select('string')|list select('odd')|list rejectattr('on')|map(attribute='name')|join selectattr('n','equalto',1)|list selectattr('tags','defined')|list|length sort(reverse=true) sort(attribute='name')
sort(attribute='n,name') sort(case_sensitive=true) groupby('n') groupby('on')|list groupby('n')|map(attribute='grouper')|list min(attribute='n') max(attribute='n') sum(attribute='n') sum(start=0.5) unique(attribute='n')|list dictsort(by='value') dictsort(true,reverse=true)
tojson(indent=2) tojson(ensure_ascii=true) tojson(sort_keys=true) tojson(separators=(',',':')) default('D') default('D',true) default(none) trim('H -') trim('-') xmlattr xmlattr(false) forceescape e|string list|tojson items|list|tojson reverse|join first|upper""".split()
TESTS = """odd even divisibleby(3) defined undefined none boolean false true integer float lower upper string mapping number sequence iterable callable sameas(none) sameas(true) escaped in([1,'a']) eq(3) ne(3) gt(2) lt(2.5) ge('b')
le([3,1,2]) filter test in('Hello') ==(2.0) divisibleby(0) sameas(missing)""".split()
BINARY = ["+", "-", "*", "/", "//", "%", "**", "~", "==", "!=", "<", ">=", "in", "not in", "and", "or"]
METHODS = """upper() lower() title() capitalize() casefold() swapcase() strip() strip('-') lstrip('-a') rstrip('\\n ') lstrip() rstrip() split() split('o') split(None,1) split('l',1) split(maxsplit=1) split(sep='-') rsplit('o',1) rsplit(None,1)
rsplit() splitlines() splitlines(true) find('o') find('o',5) find('o',-4,-1) rfind('o') index('o') count('o') count('') count('l',3) replace('o','0') replace('l','',1) replace('','.') startswith('H') startswith(('x','H')) startswith('o',4) endswith('d') endswith(('x',))
partition(' ') rpartition('o') join(['a','b']) join('xyz') join([1]) center(20,'*') center(9) ljust(13,'.') rjust(13) zfill(13) zfill(6) expandtabs() expandtabs(3) isalnum() isalpha() isascii() isdecimal() isdigit() isidentifier() islower() isnumeric()
isprintable() isspace() istitle() isupper() removeprefix('He') removesuffix('ld') format(1,[2,3]) format_map({'a':1}) translate({104:'X',101:none}) keys()|list values()|list items()|list get('a') get('q','dflt') get(1) copy() count(1) index(2) index(9) append(1) pop() update({}) sort() fromkeys([1,2])
bit_length() is_integer() conjugate() as_integer_ratio() items nope nope() __class__ _x upper|string real numerator""".split()
ITEMS = ["0", "-1", "5", "'a'", "'10'", "'items'", "true", "1.0", "none", "1:", ":-1", "::2", "::-1", "-2:", "1:2", ":0", "5:1:-2", "::0", "'a':", "missing", "[0]", "(1,2)", "none:2"]
PERCENT = ["%s", "%r", "%d", "%5d|", "%-5d|", "%05d", "%+d", "% d", "%x", "%#x", "%X", "%o", "%e", "%.2f", "%10.3f|", "%-10.1e|", "%g", "%.3g", "%G", "%c", "%%", "%5s|", "%-7s|", "%.2s", "%a", "%i", "%(a)s", "%q", "%", "%s %s", "%*d", "%#.0f", "%010.2f", "%.0f", "%u"]
SPECS = ["", ">8", "<8", "^8", "*^9", "=8", "08", "+", "-", " ", ",", "_", "d", "b", "#b", "x", "#X", "o", "c", "e", ".2e", "f", ".0f", ".3f", "g", ".2g", "%", ".1%", "s", ".2", ".1s", "10.2f", "+08.2f", "08,", "n", ",.2f", "é>6", "E", "G", "#.3g", "z", "5", "05d", "012,.1f", "r"]


def is_small(operator: str, left: str, right: str) -> bool:
    """Python would compute for hours, or print megabytes."""
    return not (operator == "**" and "big" in (left, right)) and not (operator == "*" and {left, right} & {"big"})


def systematic() -> list[str]:
    sources = [f"{{{{ {name} }}}}" for name in NAMES]
    sources += [f"{{{{ {name}|{name_of} }}}}" for name in NAMES for name_of in FILTERS]
    sources += [f"{{{{ {name} is {test} }}}}" for name in NAMES for test in TESTS]
    sources += [f"{{{{ {name}.{method} }}}}" for name in NAMES for method in METHODS]
    sources += [f"{{{{ {name}[{item}] }}}}" for name in NAMES for item in ITEMS]
    sources += [f"{{{{ {left} {operator} {right} }}}}" for left, right in itertools.product(NAMES, NAMES) for operator in BINARY if is_small(operator, left, right)]
    sources += [f"{{{{ {sign}{name} }}}}" for name in NAMES for sign in ("-", "+", "not ")]
    sources += [f"{{{{ '{form}' % {name} }}}}" for form in PERCENT for name in NAMES]
    sources += [f"{{{{ '{form}' % ({name}, three) }}}}" for form in PERCENT for name in ("three", "half", "text")]
    sources += [f"{{{{ '{{:{spec}}}'.format({name}) }}}}" for spec in SPECS for name in NAMES]
    return sources


def escaped_strftime() -> list[str]:
    letters = "aAbBcCdDeFgGhHIjklmMnpPrRsStTuUVwWxXyYzZ%qf"
    plain = [f"{{{{ strftime_now('%{letter}') }}}}" for letter in letters]
    return plain + ["{{ strftime_now('%-d %_d %^a %#p %05d %-m/%-I %10A|') }}", "{{ strftime_now('%d %B %Y') }}", "{{ strftime_now(1) }}", "{{ strftime_now('') }}"]


ADDRESS = re.compile(r"0x[0-9a-f]{6,}|\dj\)")


def case(source: str) -> list | None:
    signal.alarm(2)
    try:
        result = render_source(source, VALUES)
    finally:
        signal.alarm(0)
    if "TimeoutError" in result.get("error", "") or len(result.get("text", "")) > 20_000:
        return None
    # Addresses in memory are other ones in each run; complex numbers are not supported.
    if ADDRESS.search(result.get("text", "")):
        return None
    return [source, result.get("text")]


def too_slow(*_) -> None:
    raise TimeoutError


def main() -> None:
    signal.signal(signal.SIGALRM, too_slow)
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=20)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--share", type=float, default=0.25, help="of the systematic cases")
    parser.add_argument("--out", type=Path, default=TARGET)
    given = parser.parse_args()
    rng = random.Random(given.seed)
    snippets = (HERE / "snippets.txt").read_text().split("\n===\n")
    kept = [source for source in systematic() if rng.random() < given.share]
    generated = [TemplateGenerator(random.Random(f"{given.seed}/{i}"), NAMES).template() for i in range(given.count)]
    pieces = [fragments(rng) for _ in range(given.count)]
    sources = list(dict.fromkeys(snippets + escaped_strftime() + kept + generated + pieces))
    cases = [made for made in map(case, sources) if made is not None]
    text = json.dumps({"values": VALUES, "cases": cases}, ensure_ascii=False, separators=(",", ":"))
    given.out.write_bytes(gzip.compress(text.encode("utf-8", "surrogatepass"), 9, mtime=0))
    refused = sum(text is None for _, text in cases)
    print(f"{len(cases)} cases, {refused} of them refused, {given.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
