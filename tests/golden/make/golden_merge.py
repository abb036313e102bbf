"""What PEFT's merge_and_unload makes of the ladder's adapters: the first 16 digits of each tensor's SHA-256, and the small files.

Each tensor has four of them, in the order of KINDS. "original": the adapter merged into the base model in the type that it is
stored in. "nf4": merged in f32 into the dequantised NF4 base, then rounded to that type. Both also in f32, where a difference
cannot hide in the rounding.
"""

import hashlib
import json
import tempfile
from pathlib import Path

import torch
from peft import PeftModel
from safetensors import safe_open
from transformers import AutoModelForCausalLM

import golden_ladder


KINDS = ["original", "original_float32", "nf4", "nf4_float32"]


def load(folder, dtype):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)


def dequantized(folder, double_quantization):
    """A plain f32 model with the values of the NF4 one; a job leaves a model's vision part as it is stored."""
    quantized = golden_ladder.load_quantized(folder, double_quantization)
    plain = load(folder, torch.float32)
    state = {}
    for name, module in quantized.named_modules():
        if type(module).__name__ == "Linear4bit" and "vision_tower" not in name:
            state[name] = golden_ladder.bnb_functional.dequantize_4bit(module.weight.data, module.weight.quant_state)
    for name, module in plain.named_modules():
        if name in state:
            module.weight.data.copy_(state[name].float())
    return plain


def merged(model, adapter):
    return PeftModel.from_pretrained(model, adapter).merge_and_unload()


def hashes(model, dtype):
    model = model.to(dtype)
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        result = {}
        for path in sorted(Path(folder).glob("*.safetensors")):
            with safe_open(path, "pt") as file:
                for name in file.keys():
                    data = file.get_tensor(name).contiguous().view(torch.uint8).numpy().tobytes()
                    result[name] = hashlib.sha256(data).hexdigest()[:16]
    return dict(sorted(result.items()))


def small_files(model, shard):
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder, max_shard_size=shard)
        paths = sorted(Path(folder).iterdir())
        texts = {path.name: path.read_text() for path in paths if path.suffix == ".json"}
        sizes = {path.name: path.stat().st_size for path in paths if path.suffix != ".json"}
    return {"texts": texts, "sizes": sizes}


def write(goldens):
    golden = {}
    for name, case in golden_ladder.CASES.items():
        folder = goldens / "ladder" / name
        model, adapter, dtype = folder / "model", folder / "adapter", case["dtype"]
        kinds = {
            "original": hashes(merged(load(model, dtype), adapter), dtype),
            "original_float32": hashes(merged(load(model, torch.float32), adapter), torch.float32),
            "nf4": hashes(merged(dequantized(model, case["double_quantization"]), adapter), dtype),
            "nf4_float32": hashes(merged(dequantized(model, case["double_quantization"]), adapter), torch.float32),
        }
        names = kinds["original"]
        assert all(list(kind) == list(names) for kind in kinds.values())
        golden[name] = {
            "dtype": str(dtype).removeprefix("torch."),
            "tensors": {tensor: " ".join(kinds[kind][tensor] for kind in KINDS) for tensor in names},
            "shard": case.get("shard", "5GB"),
            **small_files(merged(load(model, dtype), adapter), case.get("shard", "5GB")),
        }
    (goldens / "exports" / "merge.json").write_text(json.dumps(golden, indent=1) + "\n")
