"""Which modules PEFT gives an adapter, with ranks, alphas and scales, for the fields that choose among them."""

import json

import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
CASES = [
    {"target_modules": ["q_proj", "v_proj"], "rank_pattern": {"q_proj": 2}, "alpha_pattern": {"v_proj": 3}},
    {"target_modules": ALL, "rank_pattern": {r"layers\.1\.self_attn\.(q|k)_proj": 16, "down_proj": 1}, "use_rslora": True},
    {"target_modules": ALL, "alpha_pattern": {".*mlp.*": 2.5, "self_attn.o_proj": 64}, "use_rslora": True, "r": 9},
    {"target_modules": ALL, "rank_pattern": {"^model.layers.0.mlp.up_proj": 3, "model.layers.11.mlp.up_proj": 5}},
    {"target_modules": ALL, "rank_pattern": {"up_proj|q_proj": 5}, "alpha_pattern": {r"1\.self_attn\..*": 1}},
    {"target_modules": ["q_proj", "o_proj"], "exclude_modules": ["o_proj"]},
    {"target_modules": ALL, "exclude_modules": ["layers.0.mlp.up_proj", "model.layers.3.self_attn.q_proj", "self_attn.k_proj"]},
    {"target_modules": "all-linear", "exclude_modules": r".*\.mlp\..*"},
    {"target_modules": r".*\.(q_proj|up_proj)|lm_head", "exclude_modules": ["lm_head"]},
    {"target_modules": ["q_proj"], "layers_to_transform": 2},
    {"target_modules": ["q_proj", "up_proj"], "layers_to_transform": [0, 11], "layers_pattern": "layers"},
    {"target_modules": ["q_proj"], "layers_to_transform": [1], "layers_pattern": ["h", "layers"]},
    {"target_modules": ["q_proj", "model.layers.5.mlp.up_proj"], "layers_to_transform": [1]},
    {"target_modules": ALL, "layers_to_transform": [1, 10], "exclude_modules": ["up_proj"], "rank_pattern": {"layers.1.*": 2, "layers.10.*": 3}},
]


def write(path):
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=11, hidden_size=8, intermediate_size=12, num_hidden_layers=12, num_attention_heads=2, num_key_value_heads=1
    )
    results = []
    for case in CASES:
        model = get_peft_model(LlamaForCausalLM(config), LoraConfig(**({"r": 4, "lora_alpha": 8} | case)))
        modules = {
            name.removeprefix("base_model.model."): [module.r["default"], module.lora_alpha["default"], module.scaling["default"]]
            for name, module in model.named_modules() if hasattr(module, "lora_A")
        }
        results.append({"lora": {"r": 4, "lora_alpha": 8} | case, "modules": modules})
    lines = ",\n".join(json.dumps(result) for result in results)
    path.write_text(f'{{"config": {json.dumps(config.to_dict(), sort_keys=True)}, "cases": [\n{lines}\n]}}\n')


if __name__ == "__main__":
    from pathlib import Path

    write(Path(__file__).parents[1] / "peft_modules.json")
