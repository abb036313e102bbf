"""Python's tokenizers on one core: tokens, SHA-256 of all ids, CPU seconds, as JSON. Run by main.ts.

    python tokenise.py tokenizer.json rows.jsonl
"""

import hashlib
import json
import os
import sys
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"

import tokenizers
from tokenizers import Tokenizer

tokenizer = Tokenizer.from_file(sys.argv[1])
# As ours by default: a special token's string within a row's text is text.
tokenizer.encode_special_tokens = True
texts = [json.loads(line)["text"] for line in open(sys.argv[2], encoding="utf-8")]


def measure(encode):
    digest, count = hashlib.sha256(), 0
    seconds = 0.0
    for at in range(0, len(texts), 1000):
        start = time.process_time()
        batch = encode(texts[at:at + 1000])
        seconds += time.process_time() - start
        for ids in batch:
            count += len(ids)
            digest.update(b"".join(id.to_bytes(4, "little") for id in ids))
    return {"tokens": count, "sha256": digest.hexdigest(), "cpu_s": seconds}


encode = lambda batch: [tokenizer.encode(text, add_special_tokens=False).ids for text in batch]
encode_batch = lambda batch: [each.ids for each in tokenizer.encode_batch_fast(batch, add_special_tokens=False)]
print(json.dumps({
    "version": tokenizers.__version__,
    "encode": measure(encode),
    "encode_batch_fast": measure(encode_batch),
}))
