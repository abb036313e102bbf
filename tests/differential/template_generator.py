"""Random templates: statements inside one another, with all kinds of white space control."""

import random

FILTERS = ["upper", "lower", "trim", "length", "string", "tojson", "list", "join('-')", "default('D')", "first", "last", "sort", "reverse|list", "int", "title", "unique|list", "map('string')|join", "select('defined')|list", "indent(2)", "replace('a','A')"]
TESTS = ["defined", "none", "string", "mapping", "number", "sequence", "iterable", "boolean", "odd", "in [1, 'a', none]", "eq 3", "divisibleby 2", "sameas none", "undefined", "true", "integer"]
METHODS = ["upper()", "strip()", "split()", "items()|list", "keys()|list", "get('a')", "startswith('H')", "replace('l','L')", "split('o')[0]", "lstrip('-')", "a", "name", "b.c", "values()|list", "count('l')", "title()", "find('o')"]
OPERATORS = ["+", "-", "*", "/", "//", "%", "~", "~", "~", "==", "!=", "<", ">", "<=", "in", "not in", "and", "or"]
# What seldom fails, so that most templates come to their end.
SAFE_OPERATORS = ["~", "==", "!=", "and", "or"]
TEXT_NAMES = ["text", "odd", "digits", "spaced", "lines", "quoted", "marks"]
TEXT_METHODS = ["upper()", "strip()", "split()", "startswith('H')", "replace('l','L')", "split('o')[0]", "lstrip('-')", "count('l')", "title()", "find('o')", "rstrip('\\n')", "splitlines()", "partition('a')", "rsplit(None, 1)|last"]
SAFE_FILTERS = ["string", "default('D')", "string|upper", "string|trim", "string|length", "default(1, true)", "string|replace('a','A')", "string|list|join('-')", "string|indent(2)"]
SAFE_TESTS = ["defined", "none", "string", "mapping", "number", "sequence", "iterable", "boolean", "eq 3", "sameas none", "undefined", "true", "integer"]
DICT_PARTS = ["dict.items()|list", "dict.keys()|list", "dict.get('a')", "dict.q", "nested.a.b", "rows[0].name", "rows|map(attribute='n')|sum", "list|sort", "words|join(',')", "dict|tojson", "rows|tojson(indent=1)", "list[1:]", "words[::-1]", "loop"]
SPACES = ["", " ", "\n", "  ", "\n  ", "\t", " \n", "x", "- ", "\n\n"]
LOOP = ["index", "index0", "first", "last", "length", "revindex", "revindex0", "previtem", "nextitem", "depth", "cycle('a', 'b')", "changed(v1)"]


MARKS = ["{%", "%}", "{{", "}}", "{#", "#}", "{%-", "-%}", "{%+", "+%}", "{{-", "-}}", "{#-", "-#}", " if yes ", " endif ", "three", " raw "]
PIECES = [" ", " ", "\n", "\n", "\r\n", "  \n", "\t", "x", "{% raw %}", "{% endraw %}", "{% raw -%}", "{%- endraw %}", "{% if yes %}", "{% endif %}", "{%- if no -%}", "{%- endif -%}", "{{ three }}", "{{- three -}}", "{# c #}", "{#- c -#}", "{%- else %}", "a", "\u00a0", "\u0085", "\u2028", "{", "}", "%", "#", "{% set v = 1 %}", "{% set v %}", "{% endset %}", "é", "{{ '}}' }}", "{{ {'a': {}} }}", "\n\n"]


def fragments(rng: random.Random) -> str:
    """Pieces of tags and white space in any order: what the lexer makes of them."""
    pieces = MARKS + PIECES if rng.random() < 0.2 else PIECES
    return "".join(rng.choice(pieces) for _ in range(rng.randrange(1, 10)))


class TemplateGenerator:
    def __init__(self, rng: random.Random, names: list[str]):
        self.rng = rng
        self.names = names
        self.locals = ["v1", "v2", "v3"]
        self.loops = 0
        self.macros = 0

    def template(self) -> str:
        return self.body(0, self.rng.randrange(1, 5))

    def body(self, depth: int, count: int | None = None) -> str:
        count = self.rng.randrange(1, 4) if count is None else count
        return "".join(self.space() + self.statement(depth) for _ in range(count)) + self.space()

    def space(self) -> str:
        return self.rng.choice(SPACES)

    def tag(self, inside: str) -> str:
        opening = self.rng.choice(["{%", "{%", "{%", "{%-", "{%+"])
        closing = self.rng.choice(["%}", "%}", "%}", "-%}", "+%}"])
        return f"{opening} {inside} {closing}"

    def statement(self, depth: int) -> str:
        rng = self.rng
        kinds = ["output", "output", "output", "text", "set", "comment"]
        if depth < 4:
            kinds += ["for", "for", "if", "if", "with", "setblock", "filter", "macro", "call", "namespace", "raw", "recursive", "generation", "block"]
        if self.loops and rng.random() < 0.4:
            kinds = ["break", "continue", "loop"]
        kind = rng.choice(kinds)
        return getattr(self, kind)(depth)

    def output(self, depth: int) -> str:
        opening = self.rng.choice(["{{", "{{", "{{-", "{{+"] if self.rng.random() < 0.3 else ["{{"])
        closing = self.rng.choice(["}}", "}}", "-}}"])
        return f"{opening} {self.expression()} {closing}"

    def text(self, depth: int) -> str:
        return self.rng.choice(["abc", "a\nb\n", "  ", "é🙂", "\r\n", "{ x }", "% }", "'", "&<"])

    def comment(self, depth: int) -> str:
        return self.rng.choice(["{# c #}", "{#- c -#}", "{# {{ x }} \n #}", "{#+ c +#}\n", "{# c -#}  \n"])

    def set(self, depth: int) -> str:
        rng = self.rng
        if rng.random() < 0.2:
            return self.tag(f"set v1, v2 = {self.expression()}, {self.expression()}")
        return self.tag(f"set {rng.choice(self.locals)} = {self.expression()}")

    def setblock(self, depth: int) -> str:
        suffix = self.rng.choice(["", "", " | upper", " | trim | length"])
        return self.tag(f"set {self.rng.choice(self.locals)}{suffix}") + self.nested(depth) + self.tag("endset")

    def nested(self, depth: int, loops: int = 0) -> str:
        # A macro's body, a call block's and so on belong to no loop.
        before, self.loops = self.loops, loops
        body = self.body(depth + 1)
        self.loops = before
        return body

    def filter(self, depth: int) -> str:
        return self.tag(f"filter {self.rng.choice(['upper', 'trim', 'replace(1, 2)', 'length|string', 'title|trim', 'indent(2, true)', 'lower'])}") + self.nested(depth) + self.tag("endfilter")

    def generation(self, depth: int) -> str:
        return self.tag("generation") + self.nested(depth) + self.tag("endgeneration")

    def block(self, depth: int) -> str:
        name = f"b{self.rng.randrange(1000)}"
        scoped = self.rng.choice(["", " scoped"])
        return self.tag(f"block {name}{scoped}") + self.nested(depth) + self.tag(f"endblock {name if self.rng.random() < 0.3 else ''}")

    def with_(self, depth: int) -> str:
        names = self.rng.sample(self.locals, self.rng.randrange(3))
        given = ", ".join(f"{name} = {self.expression()}" for name in names)
        return self.tag(f"with {given}") + self.nested(depth, self.loops) + self.tag("endwith")

    def if_(self, depth: int) -> str:
        made = self.tag(f"if {self.expression()}") + self.nested(depth, self.loops)
        if self.rng.random() < 0.4:
            made += self.tag(f"elif {self.expression()}") + self.nested(depth, self.loops)
        if self.rng.random() < 0.5:
            made += self.tag("else") + self.nested(depth, self.loops)
        return made + self.tag("endif")

    def for_(self, depth: int, recursive: bool = False) -> str:
        rng = self.rng
        target = rng.choice(["v1", "v2", "v3", "v1, v2"] if rng.random() < 0.3 else ["v1", "v2"])
        items = rng.choice([self.expression() if rng.random() < 0.2 else "rows", rng.choice(["list", "words", "rows", "dict.items()", "range(4)", "text", "nothing", "mixed", "[1, [2, 3], [[4]]]", "dict"])])
        test = f" if {self.expression()}" if rng.random() < 0.25 else ""
        made = self.tag(f"for {target} in {items}{test}{' recursive' if recursive else ''}") + self.nested(depth, 1)
        if recursive and rng.random() < 0.7:
            made += "{% if v1 is iterable and v1 is not string and loop.depth < 4 %}" + "{{ loop(v1) }}" + "{% endif %}"
        if rng.random() < 0.3:
            made += self.tag("else") + self.nested(depth, self.loops)
        return made + self.tag("endfor")

    def recursive(self, depth: int) -> str:
        before, self.loops = self.loops, 0
        made = self.for_(depth, True)
        self.loops = before
        return made

    def break_(self, depth: int) -> str:
        return self.tag(f"if {self.expression()}") + self.tag("break") + self.tag("endif")

    def continue_(self, depth: int) -> str:
        return self.tag(f"if {self.expression()}") + self.tag("continue") + self.tag("endif")

    def loop(self, depth: int) -> str:
        return "{{ loop." + self.rng.choice(LOOP) + " }}"

    def macro(self, depth: int) -> str:
        name = f"m{self.macros % 3}"
        self.macros += 1
        rng = self.rng
        signature = rng.choice(["", "v1", "v1, v2=3", "v1=zero, v2=v1", "caller=none", "v3"])
        extra = rng.choice(["", "{{ varargs }}{{ kwargs }}", "{{ varargs }}", "{{ kwargs }}", "{{ caller() if caller }}", "{{ caller is defined }}", "{{ v1 }}{{ v2 }}"])
        call = rng.choice(["", "", "", "", "1", "1", "1, 2", "v2=5", "1, 2, 3", "v1=text", "*list", "**dict", "x=1"])
        body = self.nested(depth)
        return self.tag(f"macro {name}({signature})") + body + extra + self.tag("endmacro") + "{{ " + name + "(" + call + ") }}"

    def call(self, depth: int) -> str:
        if not self.macros:
            return self.macro(depth)
        signature = self.rng.choice(["", "", "(v1)", "(v1, v2=2)"])
        return self.tag(f"call{signature} m{self.rng.randrange(min(3, self.macros))}()") + self.nested(depth) + self.tag("endcall")

    def namespace(self, depth: int) -> str:
        value = self.expression()
        return self.tag(f"set ns = namespace(n=0, t={value})") + self.tag(f"for v1 in {self.rng.choice(['list', 'words', 'text', 'range(3)'])}") + self.tag(f"set ns.n = ns.n + {self.rng.choice(['1', 'loop.index', 'v1'])}") + self.tag("endfor") + "{{ ns.n }}{{ ns.t }}{{ ns.q }}"

    def raw(self, depth: int) -> str:
        return self.rng.choice(["{% raw %} {{ x }} {% if %} {% endraw %}", "{%- raw -%}  a {%- endraw -%} ", "{% raw %}\n {% endraw +%}\n", "{%+ raw %}{# {% endraw %}\n"])

    def expression(self, depth: int = 0) -> str:
        rng = self.rng
        if rng.random() < 0.75:
            return self.safe_expression(depth)
        kind = rng.randrange(14 if depth < 3 else 4)
        if kind <= 1:
            return rng.choice(self.names)
        if kind == 2:
            return rng.choice(self.locals)
        if kind == 3:
            return rng.choice(["1", "0", "2.5", "'a'", "''", "'\\n'", "none", "true", "[]", "{}", "'é'", "10", "-1", "\"it's\"", "[1, 'x']", "{'a': 1}", "(1, 2)", "1_0", "0x1f"])
        inner = lambda: self.expression(depth + 1)  # noqa: E731
        if kind <= 5:
            return f"{inner()} {rng.choice(OPERATORS)} {inner()}"
        if kind == 6:
            return f"({inner()} {rng.choice(OPERATORS)} {inner()})"
        if kind == 7:
            return f"{inner()}|{rng.choice(FILTERS)}"
        if kind == 8:
            return f"{inner()} is {rng.choice(['', 'not '])}{rng.choice(TESTS)}"
        if kind == 9:
            return f"{rng.choice(self.names + self.locals)}.{rng.choice(METHODS)}"
        if kind == 10:
            return f"{rng.choice(self.names + self.locals)}[{rng.choice(['0', '-1', '1:', ':-1', '::-1', inner()])}]"
        if kind == 11:
            return f"{inner()} if {inner()}" + (f" else {inner()}" if rng.random() < 0.7 else "")
        if kind == 12:
            return f"{rng.choice(['not ', '-', '+'])}{inner()}"
        return rng.choice([f"[{inner()}, {inner()}]", f"{{'k': {inner()}}}", f"({inner()}, {inner()})", f"range({rng.randrange(5)})|list", f"{inner()} < {inner()} <= {inner()}", f"dict(a={inner()})", "loop", "ns.n", "m0(1)", "self"])


    def safe_expression(self, depth: int) -> str:
        rng = self.rng
        kind = rng.randrange(9 if depth < 3 else 4)
        inner = lambda: self.safe_expression(depth + 1)  # noqa: E731
        if kind <= 1:
            return rng.choice(self.names + self.locals)
        if kind == 2:
            return f"{rng.choice(TEXT_NAMES)}.{rng.choice(TEXT_METHODS)}"
        if kind == 3:
            return rng.choice(DICT_PARTS)
        if kind <= 5:
            return f"({inner()} {rng.choice(SAFE_OPERATORS)} {inner()})"
        if kind == 6:
            return f"{inner()}|{rng.choice(SAFE_FILTERS)}"
        if kind == 7:
            return f"({inner()} is {rng.choice(['', 'not '])}{rng.choice(SAFE_TESTS)})"
        return f"({inner()} if {inner()} else {inner()})"


# `if`, `for`, `with`, `break` and `continue` are words of Python's.
for _word in ("if", "for", "with", "break", "continue"):
    setattr(TemplateGenerator, _word, getattr(TemplateGenerator, f"{_word}_"))
