"""Compares the answers of exports in transformers and PEFT with those of the trained model, token for token.

    python check_transformers.py --model <base> --adapter <folder> --exports <folder> --rows <jsonl> --answers <json>

`--answers` is what `deno task evaluate --model <base> --adapter <folder> --dataset <jsonl> --json <json>` wrote: our greedy
answers, computed in NF4 with the adapter beside it. Writes prompts.json for check_llama_cpp.py.
"""

import argparse
import json
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "golden" / "make"))
import flat_dequantize

flat_dequantize.install()

import bitsandbytes
import golden_merge
import peft
import transformers
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

MAX_NEW_TOKENS = 32


def load(folder):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def answer(model, prompt, stop):
    ids = torch.tensor([prompt], device=model.device)
    with torch.no_grad():
        out = model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=MAX_NEW_TOKENS, do_sample=False,
            eos_token_id=stop, pad_token_id=stop,
        )
    return out[0, len(prompt):].tolist()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("model", "adapter", "exports", "rows", "answers"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--only", default="", help="models whose title contains this")
    options = parser.parse_args()
    torch.set_num_threads(2)

    exports = Path(options.exports)
    tokenizer = AutoTokenizer.from_pretrained(exports / "merged-nf4-bfloat16")
    stop = tokenizer.eos_token_id
    rows = [json.loads(line)["messages"] for line in Path(options.rows).read_text().splitlines()]
    samples = json.loads(Path(options.answers).read_text())["samples"][: options.count]
    prompts = [
        tokenizer.apply_chat_template(row[:-1], add_generation_prompt=True, return_dict=False)
        for row in rows[: len(samples)]
    ]
    ours = [tokenizer.encode(sample["answer"], add_special_tokens=False) + [stop] for sample in samples]
    texts = [tokenizer.decode(prompt) for prompt in prompts]
    (exports / "prompts.json").write_text(json.dumps({"prompts": prompts, "texts": texts, "answers": ours}))

    print(f"transformers {transformers.__version__}, PEFT {peft.__version__}, torch {torch.__version__}, "
          f"bitsandbytes {bitsandbytes.__version__}; computed in float32 on the CPU")
    models = {
        f"{name}": lambda name=name: load(exports / name)
        for name in ("merged-nf4-bfloat16", "merged-nf4-float32", "merged-original-bfloat16")
    }
    models["adapter, PEFT, dequantised NF4 base"] = lambda: PeftModel.from_pretrained(golden_merge.dequantized(options.model, True), options.adapter)
    models["adapter, PEFT, 16-bit base"] = lambda: PeftModel.from_pretrained(load(options.model), options.adapter)
    models["base model alone"] = lambda: load(options.model)
    for name, make in models.items():
        if options.only not in name:
            continue
        model = make()
        found = [answer(model, prompt, stop) for prompt in prompts]
        same = sum(a == b for a, b in zip(found, ours))
        print(f"{name:36} {same:3} of {len(ours)} answers are ours, token for token", flush=True)


if __name__ == "__main__":
    main()
