"""PiSSA by PEFT: starts and residuals of single layers, and the losses and result of a small model trained on its residual."""

import hashlib
import json
import shutil
import tempfile
from pathlib import Path
from unittest import mock

import torch
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

import golden_ladder

CASE = "gqa_tied"
RANK = 3
SHAPES = {"tall": (40, 24), "wide": (24, 40), "square": (32, 32)}
KINDS = {"pissa": False, "pissa_niter_4": False, "pissa_niter_0": True}


def layers():
    tensors = {}
    for name, (rows, columns) in SHAPES.items():
        generator = torch.Generator().manual_seed(rows)
        # Singular values that fall slowly, so that an approximation is none of the exact decomposition.
        u, _ = torch.linalg.qr(torch.randn(rows, rows, generator=generator))
        v, _ = torch.linalg.qr(torch.randn(columns, columns, generator=generator))
        short = min(rows, columns)
        weight = (u[:, :short] * (0.9 ** torch.arange(short))) @ v[:, :short].T
        normals = torch.randn(short, RANK, generator=generator)
        tensors |= {f"{name}.weight": weight.contiguous(), f"{name}.normals": normals}
        for kind, use_rslora in KINDS.items():
            layer = torch.nn.Sequential(torch.nn.Linear(columns, rows, bias=False))
            layer[0].weight.data = weight.clone()
            config = LoraConfig(
                r=RANK, lora_alpha=5, use_rslora=use_rslora, init_lora_weights=kind, target_modules=["0"]
            )
            # torch.svd_lowrank draws its vectors here.
            with mock.patch("torch.randn", lambda *size, **_: normals.clone()):
                model = get_peft_model(layer, config)
            lora = model.base_model.model[0]
            a, b = lora.lora_A.default.weight.data, lora.lora_B.default.weight.data
            tensors |= {f"{name}.{kind}.a": a, f"{name}.{kind}.b": b}
            tensors[f"{name}.{kind}.residual"] = lora.base_layer.weight.data
    return {key: value.contiguous() for key, value in tensors.items()}


def quantised_residual(root, folder):
    """The base that PiSSA leaves, saved and loaded in NF4, and the adapter's start."""
    case = golden_ladder.CASES[CASE]
    plain = AutoModelForCausalLM.from_pretrained(root / CASE / "model", dtype=torch.float32)
    config = LoraConfig(task_type="CAUSAL_LM", lora_dropout=0.0, init_lora_weights="pissa", **case["lora"])
    model = get_peft_model(plain, config)
    start = {key: value.clone() for key, value in get_peft_model_state_dict(model).items()}
    model.save_pretrained(folder / "start")
    model.unload().save_pretrained(folder / "residual")
    base = golden_ladder.load_quantized(folder / "residual", case["double_quantization"])
    return base, start


def write(folder, root):
    folder.mkdir(exist_ok=True)
    save_file(layers(), folder / "layers.safetensors")
    case = golden_ladder.CASES[CASE]
    batches = golden_ladder.make_batches(case)
    with tempfile.TemporaryDirectory() as temporary:
        temporary = Path(temporary)
        base, start = quantised_residual(root, temporary)
        model = golden_ladder.put_lora(case, base)
        parameters = golden_ladder.lora_parameters(model)
        with torch.no_grad():
            for name, parameter in parameters.items():
                parameter.copy_(start[name])
        rates, losses, norms = golden_ladder.train(model, batches)
        final = {name: parameter.detach().clone() for name, parameter in parameters.items()}
        model.peft_config["default"].base_model_name_or_path = f"golden/{CASE}"
        model.save_pretrained(
            temporary / "converted", path_initial_model_for_weight_conversion=str(temporary / "start")
        )
        converted = load_file(temporary / "converted" / "adapter_model.safetensors")
        config = json.loads((temporary / "converted" / "adapter_config.json").read_text())
    tensors = {f"start.{key}": value for key, value in start.items()}
    tensors |= {f"final.{key}": value for key, value in final.items()}
    save_file({key: value.contiguous() for key, value in tensors.items()}, folder / "trained.safetensors")
    (folder / "case.json").write_text(json.dumps({
        "learning_rates": rates, "losses": losses, "gradient_norms": norms,
        "converted": {
            name: hashlib.sha256(value.contiguous().numpy().tobytes()).hexdigest()
            for name, value in sorted(converted.items())
        },
        "adapter_config": {**config, "target_modules": sorted(config["target_modules"])},
    }, indent=2) + "\n")
    print("pissa losses", [round(loss, 4) for loss in losses])
