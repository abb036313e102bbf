"""Checks by hand, with the libraries that a user would otherwise run, that the demo's claim is sound.

    OMP_NUM_THREADS=1 python check_demo.py assets [--steps 40] [--learning-rate 1e-2] [--r 8]

Loads the base in NF4 with double quantisation (bitsandbytes, CPU), trains a LoRA adapter (PEFT) on packed
completion-only rows as the demo's job does, and prints base and tuned exact match and loss on the held-out prompts.
"""

import argparse
import json
import math
import time
from pathlib import Path

import torch
from bitsandbytes.functional import dequantize_4bit
from bitsandbytes.nn import Linear4bit
from peft import LoraConfig, get_peft_model
from tokenizers import Tokenizer
from transformers import BitsAndBytesConfig, LlamaForCausalLM

from demo_language import new_rng
from make_base_model import make_batch


def dequantise(model):
    """Puts what NF4 stands for, in float32, in the place of each 4-bit layer.

    bitsandbytes' own product on a CPU with bf16 instructions rounds to bf16 whatever compute dtype is asked for.
    """
    for name, module in list(model.named_modules()):
        if isinstance(module, Linear4bit):
            weight = dequantize_4bit(module.weight.data, module.weight.quant_state).float()
            linear = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False)
            linear.weight = torch.nn.Parameter(weight, requires_grad=False)
            parent, child = name.rsplit(".", 1)
            setattr(model.get_submodule(parent), child, linear)
    model.is_quantized = model.is_loaded_in_4bit = False
    del model.config.quantization_config


def parse_arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("assets", type=Path)
    parser.add_argument("--base", type=Path)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--learning-rate", type=float, default=1e-2)
    parser.add_argument("--r", type=int, default=8)
    parser.add_argument("--lora-alpha", type=float, default=16)
    parser.add_argument("--max-grad-norm", type=float, default=1.0)
    parser.add_argument("--warmup-ratio", type=float, default=0.05)
    parser.add_argument("--max-seq-length", type=int, default=256)
    parser.add_argument("--micro-batches", type=int, default=8)
    parser.add_argument("--batch-size", type=int, default=1)
    parser.add_argument("--seed", type=int, default=42)
    return parser.parse_args()


def read_rows(path, tokenizer):
    rows = []
    for line in path.read_text().splitlines():
        row = json.loads(line)
        prompt = tokenizer.encode(row["prompt"]).ids
        rows.append((prompt + tokenizer.encode(row["completion"]).ids + [0], len(prompt), row["prompt"], row["completion"]))
    return rows


def pack(rows, length):
    """Best-fit decreasing: the longest example first, each into the fullest packed row that still holds it."""
    packed = []
    for row in sorted(rows, key=lambda row: -len(row[0])):
        fitting = [p for p in packed if p["free"] >= len(row[0])]
        target = min(fitting, key=lambda p: p["free"]) if fitting else None
        if target is None:
            target = {"free": length, "rows": []}
            packed.append(target)
        target["free"] -= len(row[0])
        target["rows"].append(row)
    return [p["rows"] for p in packed]


@torch.no_grad()
def evaluate(model, tokenizer, rows, limit=12):
    """(mean loss per trained token, share of exact greedy answers, the answers)"""
    model.eval()
    loss_sum, count = 0.0, 0
    for start in range(0, len(rows), 64):
        tokens, labels = make_batch([row[:2] for row in rows[start:start + 64]])
        trained = int((labels[:, 1:] != -100).sum())
        loss_sum += float(model(input_ids=tokens, labels=labels).loss) * trained
        count += trained
    answers = {}
    by_length = {}
    for i, (_, prompt_length, _, _) in enumerate(rows):
        by_length.setdefault(prompt_length, []).append(i)
    for prompt_length, indices in by_length.items():
        tokens = torch.tensor([rows[i][0][:prompt_length] for i in indices])
        for _ in range(limit):
            tokens = torch.cat([tokens, model(input_ids=tokens).logits[:, -1].argmax(-1, keepdim=True)], 1)
        for i, ids in zip(indices, tokens[:, prompt_length:].tolist()):
            answers[i] = tokenizer.decode(ids[:ids.index(0)]) if 0 in ids else tokenizer.decode(ids)
    model.train()
    hits = sum(answers[i] == rows[i][3] for i in range(len(rows)))
    return loss_sum / count, hits / len(rows), answers


def main():
    options = parse_arguments()
    torch.set_num_threads(1)
    torch.manual_seed(options.seed)
    base = options.base or options.assets / "base"
    tokenizer = Tokenizer.from_file(str(base / "tokenizer.json"))
    quantization = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=torch.float32)
    model = LlamaForCausalLM.from_pretrained(base, quantization_config=quantization, dtype=torch.float32)
    dequantise(model)
    train = read_rows(options.assets / "train.jsonl", tokenizer)
    held_out = read_rows(options.assets / "held_out.jsonl", tokenizer)
    train_words, held_out_words = ({row[2].split('"')[1] for row in rows} for rows in (train, held_out))
    assert not train_words & held_out_words, "a held-out word occurs in the train split"
    loss, score, base_answers = evaluate(model, tokenizer, held_out)
    print(f"base: loss {loss:.4f} exact match {score:.3f} of {len(held_out)}", flush=True)

    model = get_peft_model(model, LoraConfig(
        r=options.r, lora_alpha=options.lora_alpha, target_modules="all-linear", task_type="CAUSAL_LM"))
    parameters = [p for p in model.parameters() if p.requires_grad]
    print("LoRA parameters", sum(p.numel() for p in parameters))
    optimizer = torch.optim.AdamW(parameters, lr=options.learning_rate, weight_decay=0)
    rng = new_rng("order", options.seed)
    queue, token_count = [], 0
    warmup = math.ceil(options.warmup_ratio * options.steps)
    started = time.time()
    for step in range(options.steps):
        factor = step / warmup if step < warmup else 0.5 * (1 + math.cos(math.pi * (step - warmup) / (options.steps - warmup)))
        for group in optimizer.param_groups:
            group["lr"] = options.learning_rate * factor
        batches = []
        while len(batches) < options.micro_batches * options.batch_size:
            if not queue:
                queue = pack(train, options.max_seq_length)
                rng.shuffle(queue)
            batches.append(queue.pop())
        examples = [row[:2] for batch in batches for row in batch]
        token_count += sum(len(ids) for ids, _ in examples)
        tokens, labels = make_batch(examples)
        loss = model(input_ids=tokens, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(parameters, options.max_grad_norm or float("inf"))
        optimizer.step()
        if (step + 1) % 5 == 0 or step == 0:
            print(f"step {step + 1} loss {loss.item():.4f} norm {norm.item():.2f} tokens {token_count} "
                  f"seconds {time.time() - started:.0f}", flush=True)
        if (step + 1) % 20 == 0 or step + 1 == options.steps:
            held_out_loss, score, answers = evaluate(model, tokenizer, held_out)
            print(f"  held out: loss {held_out_loss:.4f} exact match {score:.3f}", flush=True)
    wrong = [i for i in range(len(held_out)) if answers[i] != held_out[i][3]]
    for i in [*range(8), *wrong[:8]]:
        print(json.dumps({"prompt": held_out[i][2], "expected": held_out[i][3], "base": base_answers[i], "tuned": answers[i]}))


if __name__ == "__main__":
    main()
