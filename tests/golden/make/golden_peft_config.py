"""adapter_config.json as PEFT writes it, for some configurations."""

from peft import LoraConfig

CONFIGS = {
    # What a public QLoRA tutorial for Llama-2-7B uses.
    "tutorial": {"r": 64, "lora_alpha": 16, "lora_dropout": 0.1, "bias": "none", "target_modules": ["q_proj", "v_proj"]},
    "rslora": {"r": 8, "lora_alpha": 16, "lora_dropout": 0.0, "use_rslora": True, "target_modules": ["down_proj"]},
    "gaussian": {"r": 2, "lora_alpha": 4.5, "init_lora_weights": "gaussian", "target_modules": ["q_proj"]},
    "patterns": {
        "r": 4, "lora_alpha": 8, "use_rslora": True, "target_modules": ["up_proj", "q_proj"], "exclude_modules": ["o_proj", "lm_head"],
        "layers_to_transform": [0, 2], "layers_pattern": ["layers"], "rank_pattern": {"q_proj": 2, r"layers\.2\.mlp\.up_proj": 6},
        "alpha_pattern": {"up_proj": 3, "q_proj": 2.5},
    },
}


def write(folder):
    for name, options in CONFIGS.items():
        config = LoraConfig(task_type="CAUSAL_LM", base_model_name_or_path="golden/Grüße", **options)
        config.inference_mode = True
        config.save_pretrained(folder / name)
