"""adapter_config.json as PEFT writes it, for some configurations."""

from peft import LoraConfig

CONFIGS = {
    # What a public QLoRA tutorial for Llama-2-7B uses.
    "tutorial": {"r": 64, "lora_alpha": 16, "lora_dropout": 0.1, "bias": "none", "target_modules": ["q_proj", "v_proj"]},
    "rslora": {"r": 8, "lora_alpha": 16, "lora_dropout": 0.0, "use_rslora": True, "target_modules": ["down_proj"]},
}


def write(folder):
    for name, options in CONFIGS.items():
        config = LoraConfig(task_type="CAUSAL_LM", base_model_name_or_path="golden/Grüße", **options)
        config.inference_mode = True
        config.save_pretrained(folder / name)
