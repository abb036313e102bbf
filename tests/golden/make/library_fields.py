"""Every field of the configuration classes that people paste into a job, with its default, from the real libraries."""

import dataclasses
import inspect
import json
import sys

from peft import LoraConfig
from transformers import BitsAndBytesConfig, TrainingArguments
from trl import SFTConfig

# Unsloth needs a GPU to be imported: the signature of FastLanguageModel.get_peft_model in unsloth 2026.3 (models/llama.py).
GET_PEFT_MODEL = {
    "r": 16, "target_modules": ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"], "lora_alpha": 16,
    "lora_dropout": 0.0, "bias": "none", "layers_to_transform": None, "layers_pattern": None,
    "use_gradient_checkpointing": "unsloth", "random_state": 3407, "max_seq_length": 2048, "use_rslora": False,
    "modules_to_save": None, "init_lora_weights": True, "loftq_config": {},
    "temporary_location": "_unsloth_temporary_saved_buffers", "qat_scheme": None, "target_parameters": None,
    "ensure_weight_tying": False,
}


def plain(value):
    """As JSON has it; objects of the libraries as their fields."""
    if dataclasses.is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    return value


def fields_of(kind):
    def default_of(field):
        if field.default_factory is not dataclasses.MISSING:
            return field.default_factory()
        return None if field.default is dataclasses.MISSING else field.default

    return {field.name: plain(default_of(field)) for field in dataclasses.fields(kind)}


def arguments_of(function):
    parameters = inspect.signature(function).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not inspect.Parameter.empty}


def write(path):
    training = fields_of(TrainingArguments)
    trainer = fields_of(SFTConfig)
    # What a dump of the object holds besides.
    dumped = {key: value for key, value in BitsAndBytesConfig(load_in_4bit=True).to_dict().items() if key.startswith("_")}
    classes = {
        "peft.LoraConfig": {"group": "lora", "fields": fields_of(LoraConfig)},
        "unsloth.get_peft_model": {"group": "lora", "fields": GET_PEFT_MODEL},
        "transformers.BitsAndBytesConfig": {
            "group": "quantization",
            "fields": arguments_of(BitsAndBytesConfig.__init__) | {"quant_method": "bitsandbytes"} | dumped,
        },
        "transformers.TrainingArguments": {"group": "training", "fields": training},
        "trl.SFTConfig": {
            "group": "training",
            "fields": {k: v for k, v in trainer.items() if k not in training or v != training[k]},
        },
    }
    path.write_text(json.dumps(classes, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    from pathlib import Path

    write(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[3] / "coordinator/job_request/library_fields.json")
