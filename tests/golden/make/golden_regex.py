"""What Python's re.fullmatch says of patterns, as PEFT applies them to module names."""

import json
import random
import re

NAMES = [
    "", "model", "model.layers", "model.layers.0", "model.layers.0.self_attn", "model.layers.0.self_attn.q_proj",
    "model.layers.1.self_attn.v_proj", "model.layers.10.mlp.up_proj", "model.layers.11.mlp.down_proj", "lm_head",
]
PATTERNS = [
    r".*\.self_attn\.(q_proj|v_proj)", r"self_attn\.(q_proj|v_proj)", r".*(q|v)_proj", r"model\.layers\.[0-5]\..*_proj",
    r".*\.(?P<layer>\d+)\.mlp\..+", r"^model\.layers\.(?:0|1)\..*$", r"\Amodel.*\Z", r".*\b(up|down)_proj\b", r"(?!.*mlp).*_proj",
    r".*(?<=self_attn\.)q_proj", r".*(?<!self_attn\.)[a-z]+_proj", r"[^.]*(\.[^.]*){2,3}", r"model(\.\w+){,4}", r".{,7}", r".*{3}",
    r"lm_head|.*\.v_proj", r"[]a-z_]+", r"[^]]+", r"[\w.]+?", r"(.*)*x", r"(a|a)*model.*", r"((.*)*)*q_proj", r"\x6dodel", r"\155odel",
    r"(?#all)model", r"model{", r"model{}", r"mode{1}l", r"mode{1,2}l", r"mode{2,1}l", r"*model", r"(model", r"model)", r"[model",
    r"model\q", r"mod(el)\1", r"(?P<a>m)(?P<a>o)del", r"(?<a>m)odel", r"model++", r"model**", r"^*model", r"mod.l", r"\S+\.\D+",
    r"(?<=.*)q_proj", r"model\.layers\.(\d|1[01])\.mlp\.(up|down)_proj", r"model\.layers\.\d{2}\..*", r"", r"(|model)", r"()", r"a{0}model",
    r"(?:model|lm_head)(?=$|\.).*", r".*\.q_proj$", r"[a-\w]+", r"[z-a]+", r"[a\-z_]+", r"[-a-z_]+", r"[a-z_-]+", r"\u006dodel",
]
PIECES = ["a", "b", ".", r"\.", r"\w", r"\d", "[ab]", "[^a]", "|", "(", ")", "(?:", "*", "+", "?", "{2}", "{1,}", "{,2}", "(?=", "(?!", "^", "$", r"\b"]
TEXTS = ["", "a", "b", "ab", "aa", "a.b", "abab", "a1", "1", "b.a.b"]


# Patterns for which Python's own engine would take for ever on the longer names, with what it says of shorter ones.
SLOW = {r"(.*)*x": lambda name: name.endswith("x"), r"((.*)*)*q_proj": lambda name: name.endswith("q_proj")}


def result(pattern, texts):
    """One digit for each text, 1 where the pattern matches; null where Python refuses the pattern."""
    try:
        compiled = re.compile(pattern)
    except re.error:
        return None
    matches = SLOW.get(pattern, lambda text: compiled.fullmatch(text) is not None)
    return "".join("1" if matches(text) else "0" for text in texts)


def write(path):
    source = random.Random(17)
    made = {"".join(source.choices(PIECES, k=source.randint(1, 8))) for _ in range(4000)}
    by_text = {pattern: result(pattern, TEXTS) for pattern in sorted(made)}
    # Most of the refused ones have unbalanced parentheses, which one knows after the first hundreds.
    refused = [pattern for pattern, matches in by_text.items() if matches is None][300:]
    golden = {
        "names": NAMES,
        "by_name": {pattern: result(pattern, NAMES) for pattern in PATTERNS},
        "texts": TEXTS,
        "by_text": {pattern: matches for pattern, matches in by_text.items() if pattern not in refused},
    }
    path.write_text(json.dumps(golden, indent=1) + "\n")
