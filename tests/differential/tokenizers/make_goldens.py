"""Trains one small tokenizer of each family and writes what the Rust library makes of the seeded texts.

    python -m venv venv && venv/bin/pip install tokenizers==0.23.3 sentencepiece==0.2.3 protobuf==7.36.2
    venv/bin/python tests/differential/tokenizers/make_goldens.py

Everything is made here from seeded randomness; nothing is downloaded. CI reads the written files alone: families/*.json.gz
and goldens.bin (a 32-bit hash for every block of texts and family; families.json says which).
"""

import base64
import gzip
import json
import struct
import tempfile
from pathlib import Path

import sentencepiece
from sentencepiece import sentencepiece_model_pb2
from texts import make_texts
from tokenizers import (
    AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers)

HERE = Path(__file__).parent
FAMILIES = HERE / "families"
SEED, COUNT, BLOCK = 20260101, 20000, 10

GPT4 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN = GPT4.replace(r"\p{N}{1,3}", r"\p{N}")
TIKTOKEN = (r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s")
O200K = "|".join([
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"\p{N}{1,3}", r" ?[^\s\p{L}\p{N}]+[\r\n/]*", r"\s*[\r\n]+", r"\s+(?!\S)", r"\s+"])
DEEPSEEK = [r"\p{N}{1,3}", r"[一-龥぀-ゟ゠-ヿ]+",
            r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"]
PROSE = [
    "The quick brown fox jumps over the lazy dog, and it's not the first time that they'd seen it.",
    "Call me Ishmael. Some years ago, never mind how long precisely, I thought I would sail about a little.",
    "def add(a, b):\n    return a + b  # 12345\n\nprint(add(1, 2))",
    "Größe, façade, naïve: Wörter mit Zeichen. 東京 は 日本 の 首都 です。", "Привет, мир! Как дела? नमस्ते दुनिया 123 ١٢٣",
] * 20
CORPUS = PROSE + make_texts(1, 3000)
ALPHABET = sorted(pre_tokenizers.ByteLevel.alphabet())
SPECIALS = [AddedToken(text, special=True, normalized=False) for text in ["<s>", "</s>", "<pad>", "<|im_start|>", "<|im_end|>"]]


def split(pattern, behavior="isolated", invert=False):
    return pre_tokenizers.Split(Regex(pattern), behavior, invert)


def bytes_only():
    return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)


def byte_level(pre, normalizer=None, vocab=700, added=SPECIALS, **options):
    """Byte-level BPE; the post-processor puts <s> before a text."""
    tokenizer = Tokenizer(models.BPE(**options))
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=vocab, initial_alphabet=ALPHABET, show_progress=False))
    add(tokenizer, added)
    return tokenizer


def add(tokenizer, tokens):
    for token in tokens:
        (tokenizer.add_special_tokens if token.special else tokenizer.add_tokens)([token])
    if tokenizer.token_to_id("<s>") is not None:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", tokenizer.token_to_id("<s>"))])


def sentencepiece_bpe(normalizer, pre, strip, vocab=500):
    """BPE on characters with bytes for the unknown, as conversions of SentencePiece models are."""
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    trained.train_from_iterator(PROSE + make_texts(2, 300), trainers.BpeTrainer(vocab_size=vocab, limit_alphabet=200, show_progress=False))
    model = json.loads(trained.to_str())["model"]
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *sorted(model["vocab"], key=model["vocab"].get)]
    tokenizer = Tokenizer(models.BPE(
        vocab={token: index for index, token in enumerate(dict.fromkeys(tokens))}, merges=[tuple(m) for m in model["merges"]],
        unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    if pre is not None:
        tokenizer.pre_tokenizer = pre
    tokenizer.decoder = decoders.Sequence([
        decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), *([decoders.Strip(" ", 1, 0)] if strip else [])])
    add(tokenizer, [AddedToken(text, special=True, normalized=False) for text in ["<unk>", "<s>", "</s>"]])
    return tokenizer


def unigram():
    """Unigram with SentencePiece's own character map, which a few rules of ours were compiled to."""
    rules = [(chr(a), b) for a, b in [
        (0x1, ""), (0x1E, ""), (0x85, " "), (0xA0, " "), (0x200B, " "), (0x3000, " "), (0xFEFF, " "), (0x2581, " "), (0xBD, "1/2"),
        (0xB2, "2"), (0xB3, "3"), (0x2167, "VIII"), (0xFB01, "fi"), (0x17F, "s"), (0x2026, "..."), (0x32FF, "令和")]]
    rules += [(chr(0xFF01 + i), chr(0x21 + i)) for i in range(94)] + [("e\u0301", "é"), ("\r\n", "\n"), ("ｶﾞ", "ガ"), ("\U0001f1e9", "D")]
    with tempfile.TemporaryDirectory() as folder:
        rows = ["\t".join(" ".join(f"{ord(c):X}" for c in text) for text in rule) for rule in rules]
        Path(folder, "rules.tsv").write_text("\n".join(rows) + "\n")
        Path(folder, "corpus.txt").write_text("\n".join(line.replace("\n", " ").replace("\0", "") for line in PROSE + make_texts(2, 300)), encoding="utf-8")
        sentencepiece.SentencePieceTrainer.train(
            input=f"{folder}/corpus.txt", model_prefix=f"{folder}/m", vocab_size=1200, hard_vocab_limit=False, character_coverage=0.98,
            normalization_rule_tsv=f"{folder}/rules.tsv", num_threads=1, minloglevel=2, max_sentence_length=10000)
        proto = sentencepiece_model_pb2.ModelProto()
        proto.ParseFromString(Path(folder, "m.model").read_bytes())
    pieces = [(piece.piece, piece.score) for piece in proto.pieces]
    charsmap = proto.normalizer_spec.precompiled_charsmap
    tokenizer = Tokenizer(models.Unigram(pieces, 0))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Precompiled(charsmap), normalizers.Replace(Regex(" {2,}"), " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(prepend_scheme="always")])
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    add(tokenizer, [AddedToken(text, special=True, normalized=False) for text in ["<unk>", "<s>", "</s>"]]
        + [AddedToken("[MASK]", lstrip=True, special=True)])
    return tokenizer


def word_piece(lowercase):
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase, strip_accents=None)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer.train_from_iterator(CORPUS, trainers.WordPieceTrainer(
        vocab_size=1500, limit_alphabet=900, special_tokens=names, show_progress=False))
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return tokenizer


# One of each combination that a tokenizer in the wild has, and some that none has.
FLAGGED = SPECIALS + [
    AddedToken("<cat>", single_word=True), AddedToken("cat", single_word=True, normalized=False), AddedToken("<strip>", lstrip=True, rstrip=True),
    AddedToken("<LEFT>", lstrip=True, special=True), AddedToken("<right>", rstrip=True, normalized=False), AddedToken("<Norm>", normalized=True),
    AddedToken("NORM", normalized=True, special=True), AddedToken("  ", normalized=False), AddedToken("<|im_start|><s>", special=True),
    AddedToken("ab", normalized=False), AddedToken("abab", normalized=False), AddedToken("東", single_word=True), AddedToken("é", normalized=True),
    AddedToken("\n\n", rstrip=True, normalized=False), AddedToken("½", normalized=True), AddedToken("<think>"), AddedToken("</think>")]


def suffix_bpe():
    """The first BPE: a suffix ends words, spaces vanish, unknown characters are <unk> each."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKD(), normalizers.StripAccents(), normalizers.Lowercase(), normalizers.Strip()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Whitespace(), pre_tokenizers.Punctuation("contiguous"), pre_tokenizers.Digits(False), pre_tokenizers.CharDelimiterSplit("z"),
        pre_tokenizers.Split("an", "merged_with_previous"), pre_tokenizers.Split(Regex("[aeiou]"), "merged_with_next"),
        pre_tokenizers.Split(Regex(r"\w{9}"), "removed"), pre_tokenizers.FixedLength(7)])
    tokenizer.decoder = decoders.BPEDecoder("</w>")
    tokenizer.train_from_iterator(PROSE + make_texts(3, 500), trainers.BpeTrainer(
        vocab_size=900, limit_alphabet=300, end_of_word_suffix="</w>", special_tokens=["<unk>", "<s>"], show_progress=False))
    return tokenizer


def metaspace_first():
    tokenizer = sentencepiece_bpe(
        normalizers.Sequence([normalizers.Nmt(), normalizers.NFKC(), normalizers.Strip(True, False)]),
        pre_tokenizers.Metaspace(prepend_scheme="first", split=True), True)
    tokenizer.add_tokens([AddedToken("<cat>", normalized=True), AddedToken("<right>", rstrip=True)])
    return tokenizer


def prefix_bpe():
    """A prefix goes before all but a word's first character; a whole word of the vocabulary is taken as it is."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", continuing_subword_prefix="##", fuse_unk=True, ignore_merges=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFD(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Replace("''", '"')])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(r"\w+|[^\w\s]"), "removed", invert=True), pre_tokenizers.Punctuation("merged_with_previous")])
    tokenizer.decoder = decoders.WordPiece("##", cleanup=True)
    tokenizer.train_from_iterator(PROSE + make_texts(3, 500), trainers.BpeTrainer(
        vocab_size=900, limit_alphabet=300, continuing_subword_prefix="##", special_tokens=["<unk>", "<s>"], show_progress=False))
    return tokenizer


def make_families():
    sequence = pre_tokenizers.Sequence
    return {
        "gpt2": byte_level(pre_tokenizers.ByteLevel(add_prefix_space=False)),
        "roberta": byte_level(pre_tokenizers.ByteLevel(add_prefix_space=True), added=SPECIALS + [AddedToken("[MASK]", lstrip=True, special=True)]),
        "llama3": byte_level(sequence([split(GPT4), bytes_only()]), ignore_merges=True),
        "tiktoken_possessive": byte_level(sequence([split(TIKTOKEN, "removed", True), bytes_only()])),
        "o200k": byte_level(sequence([split(O200K), bytes_only()])),
        "qwen2": byte_level(sequence([split(QWEN), bytes_only()]), normalizers.NFC()),
        "smollm": byte_level(sequence([pre_tokenizers.Digits(True), pre_tokenizers.ByteLevel(add_prefix_space=False)])),
        "starcoder": byte_level(sequence([pre_tokenizers.Digits(True), pre_tokenizers.ByteLevel(add_prefix_space=False)]), normalizers.NFKC(), 900),
        "falcon": byte_level(sequence([pre_tokenizers.Punctuation("contiguous"), pre_tokenizers.ByteLevel(add_prefix_space=False),
                                       pre_tokenizers.Digits(False), split("[0-9][0-9][0-9]")])),
        "deepseek": byte_level(sequence([*map(split, DEEPSEEK), bytes_only()])),
        "flags": byte_level(sequence([split(GPT4), bytes_only()]), normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()]), added=FLAGGED),
        "llama2": sentencepiece_bpe(normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]), None, True),
        "gemma": sentencepiece_bpe(normalizers.Replace(" ", "▁"), pre_tokenizers.Split(" ", "merged_with_previous"), False),
        "mistral": sentencepiece_bpe(None, pre_tokenizers.Metaspace(prepend_scheme="first", split=False), True),
        "metaspace_first": metaspace_first(),
        "unigram": unigram(),
        "bert_uncased": word_piece(True),
        "bert_cased": word_piece(False),
        "suffix_bpe": suffix_bpe(),
        "prefix_bpe": prefix_bpe(),
    }


def hash_into(value, numbers):
    """FNV-1a over whole numbers instead of bytes."""
    for number in numbers:
        value = ((value ^ number) * 0x01000193) & 0xFFFFFFFF
    return value


def hash_text(value, tokenizer, text):
    ids = tokenizer.encode(text).ids
    value = hash_into(value, [0xFFFFFFFF, *ids, 0xFFFFFFFE])
    for skip in (False, True):
        value = hash_into(value, [*map(ord, tokenizer.decode(ids, skip_special_tokens=skip)), 0xFFFFFFFD])
    return value


def main():
    texts = make_texts(SEED, COUNT)
    FAMILIES.mkdir(exist_ok=True)
    hashes = []
    families = make_families()
    for name, tokenizer in families.items():
        data = json.dumps(json.loads(tokenizer.to_str()), ensure_ascii=False, separators=(",", ":")).encode()
        (FAMILIES / f"{name}.json.gz").write_bytes(gzip.compress(data, 9, mtime=0))
        # Read again: the decimals of a Unigram model's scores lose a bit on the way.
        tokenizer = Tokenizer.from_str(data.decode())
        for start in range(0, COUNT, BLOCK):
            value = 0x811C9DC5
            for text in texts[start:start + BLOCK]:
                value = hash_text(value, tokenizer, text)
            hashes.append(value)
        print(name, tokenizer.get_vocab_size(), len(data))
    (HERE / "goldens.bin").write_bytes(struct.pack(f"<{len(hashes)}I", *hashes))
    (HERE / "families.json").write_text(json.dumps({"seed": SEED, "count": COUNT, "block": BLOCK, "names": list(families)}, indent=1) + "\n")


if __name__ == "__main__":
    main()
