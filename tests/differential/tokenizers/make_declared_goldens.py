"""Tokens declared in every combination of files, as transformers reads them: declared.json.gz.

    python -m venv venv && venv/bin/pip install tokenizers==0.23.3 transformers==5.23.0
    venv/bin/python tests/differential/tokenizers/make_declared_goldens.py
"""

import gzip
import json
import logging
import random
import tempfile
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import AutoTokenizer

logging.getLogger("transformers").setLevel(logging.CRITICAL)
HERE = Path(__file__).parent
CONTENTS = ["<s>", "</s>", "<pad>", "<|end|>", "<cat>", "cat", "<Img>", "[X]", "<unk>", "a b"]
NAMES = ["bos_token", "eos_token", "pad_token", "unk_token", "sep_token", "cls_token", "mask_token", "image_token", "boi_token"]
PROBES = ["a <s>b</s> <|end|>c cat concat <cat>!", " <Img> <img><pad>a b  [X] x", "x<unk> <|end|> </s>"]


def base(rng):
    pieces = ["<unk>", "Ġ", *"abcdefghijklmnopqrstuvwxyz<>/|[]!IX", "</s>", "cat"]
    if rng.random() < 0.3:
        pieces.append("<s>")
    tokenizer = Tokenizer(models.BPE(vocab={piece: index for index, piece in enumerate(pieces)}, merges=[], unk_token="<unk>"))
    if rng.random() < 0.3:
        tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return json.loads(tokenizer.to_str())


def token(rng, content, defaults=True):
    flags = {flag: rng.random() < 0.2 for flag in ["lstrip", "rstrip", "single_word"]}
    flags |= {"normalized": rng.random() < 0.3, "special": rng.random() < 0.6}
    if not defaults and rng.random() < 0.5:
        flags = {flag: value for flag, value in flags.items() if rng.random() < 0.5}
    return {"content": content, **flags}


def some(rng, most):
    return rng.sample(CONTENTS, rng.randint(0, most))


def named(rng, typed):
    values = {}
    for name in rng.sample(NAMES, rng.randint(0, 6)):
        content = rng.choice(CONTENTS)
        full = {"__type": "AddedToken"} if typed else {}
        of_model = name in ("image_token", "boi_token")
        values[name] = content if of_model or rng.random() < 0.6 else full | token(rng, content, False)
        if not typed and isinstance(values[name], dict):
            values[name].pop("special", None)
    return values


def case(rng):
    tokenizer = base(rng)
    size = len(tokenizer["model"]["vocab"])
    added = some(rng, 4)
    tokenizer["added_tokens"] = [{"id": size + index + rng.choice([0, 0, 0, 3]), **token(rng, content)} for index, content in enumerate(added)]
    config = {"tokenizer_class": "PreTrainedTokenizerFast", **named(rng, True)}
    if rng.random() < 0.5:
        config["added_tokens_decoder"] = {
            str(rng.choice([size + index, size + 10 - index])): token(rng, content, False) for index, content in enumerate(some(rng, 5))}
    if rng.random() < 0.3:
        config[rng.choice(["additional_special_tokens", "extra_special_tokens"])] = [
            content if rng.random() < 0.7 else {"__type": "AddedToken", **token(rng, content, False)} for content in some(rng, 3)]
    elif rng.random() < 0.2:
        config["extra_special_tokens"] = {"audio_token": rng.choice(CONTENTS), "video_token": rng.choice(CONTENTS)}
    files = {"tokenizer.json": tokenizer, "tokenizer_config.json": config}
    if rng.random() < 0.5:
        files["special_tokens_map.json"] = named(rng, False)
        if rng.random() < 0.4:
            files["special_tokens_map.json"][rng.choice(["additional_special_tokens", "extra_special_tokens"])] = some(rng, 3)
    if rng.random() < 0.4:
        files["added_tokens.json"] = {content: size + index for index, content in enumerate(some(rng, 3))}
    return files


def result_of(files):
    with tempfile.TemporaryDirectory() as folder:
        for name, content in files.items():
            Path(folder, name).write_text(json.dumps(content), encoding="utf-8")
        tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = [tokenizer(probe)["input_ids"] for probe in PROBES]
    return {
        "ids": ids, "named": [tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id],
        "plain": [tokenizer.decode(of_probe, skip_special_tokens=True) for of_probe in ids],
        "added": [[id, str(token), token.special] for id, token in sorted(tokenizer.added_tokens_decoder.items())]}


def main():
    rng = random.Random(13)
    cases, refused = [], 0
    while len(cases) < 400:
        files = case(rng)
        try:
            cases.append({"files": files, "result": result_of(files)})
        except Exception:  # noqa: BLE001  What transformers cannot read says nothing of ids.
            refused += 1
    text = json.dumps({"probes": PROBES, "cases": cases}, ensure_ascii=False, separators=(",", ":"))
    (HERE / "declared.json.gz").write_bytes(gzip.compress(text.encode(), 9, mtime=0))
    print(len(cases), "cases;", refused, "that transformers refuses")


if __name__ == "__main__":
    main()
