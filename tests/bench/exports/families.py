"""Compares llama.cpp's logits and next tokens with those of transformers on the models that families.ts wrote.

    python families.py write <folder>      in an environment with transformers
    python families.py compare <folder>    in one with llama-cpp-python
"""

import json
import sys
from pathlib import Path

TOKENS = [5, 17, 3, 44, 6, 8, 23, 31, 2, 9, 11, 36]
NEW_TOKENS = 20


def folders_of(folder):
    return sorted(path for path in folder.iterdir() if (path / "config.json").exists())


def write(folder):
    import torch
    from transformers import AutoModelForCausalLM

    for path in folders_of(folder):
        model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()
        with torch.no_grad():
            ids, logits = list(TOKENS), None
            for _ in range(NEW_TOKENS):
                logits = model(torch.tensor([ids])).logits[0]
                ids.append(int(logits[-1].argmax()))
            logits = model(torch.tensor([ids])).logits[0]
        (path / "logits.json").write_text(json.dumps({"ids": ids, "logits": logits.tolist()}))


def compare(folder):
    import numpy
    from llama_cpp import Llama

    files = [(f"merged {kind}", f"model-{kind}.gguf", None) for kind in ("F32", "F16", "Q8_0")]
    for path in folders_of(folder):
        golden = json.loads((path / "logits.json").read_text())
        for title, file, lora in [*files, ("base + adapter", "base.gguf", str(path / "adapter.gguf"))]:
            model = Llama(str(path / file), n_ctx=64, n_threads=1, logits_all=True, verbose=False, lora_path=lora, type_k=0, type_v=0)
            # Where llama.cpp has no window, it is exact up to the window, which is its context here.
            length = int(model.metadata[f"{model.metadata['general.architecture']}.context_length"])
            ids = golden["ids"][:length]
            expected = numpy.array(golden["logits"])[: len(ids)]
            model.eval(ids)
            found = numpy.array(model.scores[: len(ids)])
            error = abs(found - expected).max() / abs(expected).max()
            same = sum(found.argmax(1) == expected.argmax(1))
            print(f"{path.name:22} {title:15} {len(ids):3} tokens: largest difference {error:.1e} of the largest logit, "
                  f"{same} of {len(ids)} next tokens")

    for path in sorted((folder / "tokenizers").glob("*.gguf")):
        model = Llama(str(path), vocab_only=True, verbose=False)
        texts = json.loads(path.with_suffix(".json").read_text())
        found = [model.tokenize(text["text"].encode(), add_bos=False, special=text["special"]) for text in texts]
        same = [a == b["ids"] for a, b in zip(found, texts)]
        print(f"{path.stem:18} {sum(same)} of {len(texts)} texts have our tokens")
        for a, b in zip(found, texts):
            if a != b["ids"]:
                print("  ", repr(b["text"]), a, b["ids"])


if __name__ == "__main__":
    {"write": write, "compare": compare}[sys.argv[1]](Path(sys.argv[2]))
