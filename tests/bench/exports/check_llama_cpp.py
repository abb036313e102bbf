"""Reads the GGUF exports with Python's gguf and runs them in llama.cpp: the first greedy tokens beside ours.

    python check_llama_cpp.py --exports <folder>

Needs prompts.json, which check_transformers.py writes.
"""

import argparse
import json
from importlib.metadata import version
from pathlib import Path

import gguf
from llama_cpp import Llama

FIRST_TOKENS = 16


def describe(path):
    reader = gguf.GGUFReader(path)
    fields = {name: field for name, field in reader.fields.items() if not name.startswith("GGUF.")}
    types = {}
    for tensor in reader.tensors:
        types[tensor.tensor_type.name] = types.get(tensor.tensor_type.name, 0) + 1
    kinds = ", ".join(f"{count} {name}" for name, count in sorted(types.items()))
    return f"{fields['general.architecture'].contents()} {fields['general.type'].contents()}, {len(fields)} fields, tensors: {kinds}"


def greedy(model, prompt, stop):
    model.reset()
    found = []
    for token in model.generate(prompt, temp=0.0, top_k=1, repeat_penalty=1.0):
        found.append(token)
        if token == stop or len(found) == FIRST_TOKENS:
            return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--exports", required=True)
    exports = Path(parser.parse_args().exports)
    data = json.loads((exports / "prompts.json").read_text())
    print(f"gguf {version('gguf')}, llama-cpp-python {version('llama_cpp_python')}")
    adapter = next((exports / "gguf-adapter").glob("*.gguf"))
    for path in [*sorted(exports.glob("gguf-*/*.gguf"))]:
        print(f"{path.name:24} {describe(path)}")
    runs = [(path.parent.name, path, None) for path in sorted(exports.glob("gguf-nf4*/*.gguf"))]
    base = exports / "gguf-base" / "base.gguf"
    if base.exists():
        runs.append(("base and adapter", base, str(adapter)))
    for name, path, lora in runs:
        model = Llama(str(path), n_ctx=512, n_threads=2, verbose=False, lora_path=lora)
        stop = model.token_eos()
        pairs = list(zip(data["prompts"], data["texts"], data["answers"]))
        tokens = sum(model.tokenize(text.encode(), add_bos=False, special=True) == ids for ids, text, _ in pairs)
        same = sum(greedy(model, ids, stop) == ours[:FIRST_TOKENS] for ids, _, ours in pairs)
        print(f"{name:24} tokenises {tokens} of {len(pairs)} prompts as transformers; the first {FIRST_TOKENS} greedy "
              f"tokens are ours for {same} of {len(pairs)}", flush=True)


if __name__ == "__main__":
    main()
