"""PyTorch, bitsandbytes and PEFT on the shapes of step.ts: memory, tokens/s, TFLOP/s. A part of bench:gpu.

    python peers.py config.json --tokens 2048 --lora-r 64 --micro-batches 4 [--json out.json] [--checkpointing]

Weights are random. Without bitsandbytes the linear layers stay in bfloat16, which the output says.
"""

import argparse
import importlib.util
import json
import time

import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

arguments = argparse.ArgumentParser()
arguments.add_argument("config")
arguments.add_argument("--tokens", type=int, default=2048)
arguments.add_argument("--lora-r", type=int, default=64)
arguments.add_argument("--micro-batches", type=int, default=4)
arguments.add_argument("--seconds", type=float, default=60, help="no further micro-batch begins so long after the start")
arguments.add_argument("--checkpointing", action="store_true")
arguments.add_argument("--json")
given = arguments.parse_args()

device = "cuda" if torch.cuda.is_available() else "cpu"
dtype = torch.bfloat16 if device == "cuda" else torch.float32
has_bitsandbytes = importlib.util.find_spec("bitsandbytes") is not None


def quantised(linear):
    import bitsandbytes as bnb

    new = bnb.nn.Linear4bit(
        linear.in_features, linear.out_features, bias=linear.bias is not None,
        compute_dtype=dtype, compress_statistics=True, quant_type="nf4",
    )
    new.weight = bnb.nn.Params4bit(
        linear.weight.detach().to("cpu"), requires_grad=False, quant_type="nf4", compress_statistics=True
    )
    return new.to(device)


def quantise(model):
    for name, module in list(model.named_modules()):
        if isinstance(module, torch.nn.Linear) and name != "lm_head":
            parent, _, child = name.rpartition(".")
            setattr(model.get_submodule(parent), child, quantised(module))


def synchronise():
    if device == "cuda":
        torch.cuda.synchronize()


started = time.perf_counter()
with open(given.config, encoding="utf-8") as file:
    config = LlamaConfig(**json.load(file))
config._attn_implementation = "sdpa"
config.use_cache = False
torch.manual_seed(1)
with torch.device(device):
    torch.set_default_dtype(dtype)
    model = LlamaForCausalLM(config)
    torch.set_default_dtype(torch.float32)
if has_bitsandbytes:
    quantise(model)
for parameter in model.parameters():
    parameter.requires_grad_(False)
lora = LoraConfig(r=given.lora_r, lora_alpha=16, lora_dropout=0.1, target_modules="all-linear", task_type="CAUSAL_LM")
model = get_peft_model(model, lora)
if given.checkpointing:
    model.enable_input_require_grads()
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
model.train()
load_s = time.perf_counter() - started
print(f"loaded in {load_s:.1f} s", flush=True)
tokens = torch.arange(given.tokens, device=device)[None] * config.vocab_size // given.tokens


def micro_batch():
    synchronise()
    start = time.perf_counter()
    with torch.autocast(device, dtype=torch.bfloat16, enabled=device == "cuda"):
        loss = model(input_ids=tokens, labels=tokens).loss
    loss.backward()
    synchronise()
    seconds = time.perf_counter() - start
    print(f"micro-batch: {seconds:.3f} s, loss {loss.item():.4f}", flush=True)
    return seconds, loss.item()


if device == "cuda":
    torch.cuda.reset_peak_memory_stats()
first_s, _ = micro_batch()
times = [micro_batch()]
while len(times) < given.micro_batches and time.perf_counter() - started < given.seconds:
    times.append(micro_batch())
seconds = sum(time for time, _ in times) / len(times)
trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
result = {
    "device": torch.cuda.get_device_name() if device == "cuda" else "CPU",
    "base": "NF4 by bitsandbytes" if has_bitsandbytes else "bfloat16: bitsandbytes is not installed here"
    if device == "cuda" else "float32: bitsandbytes is not installed here",
    "torch": torch.__version__,
    "checkpointing": given.checkpointing,
    "lora_parameters": trained,
    "load_s": load_s,
    "first_s": first_s,
    "micro_batch_s": seconds,
    "tokens_per_second": given.tokens / seconds,
    "peak_bytes": torch.cuda.max_memory_allocated() if device == "cuda" else None,
    "loss": times[-1][1],
}
print(json.dumps(result, indent=2))
if given.json:
    with open(given.json, "w", encoding="utf-8") as file:
        json.dump(result, file)
