"""Compares llama.cpp's logits with those of transformers on the models that families.ts wrote.

    python families.py write <folder>      in an environment with transformers
    python families.py compare <folder>    in one with llama-cpp-python
"""

import json
import sys
from pathlib import Path

TOKENS = [5, 17, 3, 44, 6, 8, 23, 31, 2, 9, 11, 36]


def write(folder):
    import torch
    from transformers import AutoModelForCausalLM

    for path in sorted(p for p in folder.iterdir() if (p / "config.json").exists()):
        model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()
        with torch.no_grad():
            logits = model(torch.tensor([TOKENS])).logits[0]
        (path / "logits.json").write_text(json.dumps(logits.tolist()))


def compare(folder):
    import numpy
    from llama_cpp import Llama

    for path in sorted(p for p in folder.iterdir() if (p / "config.json").exists()):
        expected = numpy.array(json.loads((path / "logits.json").read_text()))
        for title, file, lora in (("merged", "model.gguf", None), ("base + adapter", "base.gguf", str(path / "adapter.gguf"))):
            model = Llama(str(path / file), n_ctx=64, n_threads=1, logits_all=True, verbose=False, lora_path=lora, type_k=0, type_v=0)
            # A model with a sliding window is exact up to the window, which is its context here.
            length = int(model.metadata[f"{model.metadata['general.architecture']}.context_length"])
            count = min(len(TOKENS), length)
            model.eval(TOKENS[:count])
            found = numpy.array(model.scores[:count])
            error = abs(found - expected[:count]).max() / abs(expected).max()
            print(f"{path.name:18} {title:16} {count:3} tokens: largest difference {error:.1e} of the largest logit")


    for path in sorted((folder / "tokenizers").glob("*.gguf")):
        model = Llama(str(path), vocab_only=True, verbose=False)
        texts = json.loads(path.with_suffix(".json").read_text())
        found = [model.tokenize(text["text"].encode(), add_bos=False, special=False) for text in texts]
        same = [a == b["ids"] for a, b in zip(found, texts)]
        print(f"{path.stem:18} {sum(same)} of {len(texts)} texts have our tokens")
        for a, b in zip(found, texts):
            if a != b["ids"]:
                print("  ", b["text"], a, b["ids"])


if __name__ == "__main__":
    {"write": write, "compare": compare}[sys.argv[1]](Path(sys.argv[2]))
