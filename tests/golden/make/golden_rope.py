"""RoPE's frequencies and tables from transformers' LlamaRotaryEmbedding."""

import torch
from safetensors.torch import save_file
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

POSITIONS = [0, 1, 2, 17, 255, 1000, 4095]
SHAPES = {
    "llama2": (128, 4096, {"rope_type": "default", "rope_theta": 10000.0}),
    "llama32": (64, 131072, {
        "rope_type": "llama3", "rope_theta": 500000.0, "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    }),
    "linear": (32, 4096, {"rope_type": "linear", "rope_theta": 10000.0, "factor": 3.0}),
    # Up to max_position_embeddings, which no position here exceeds.
    "dynamic": (32, 4096, {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 2.0}),
    # What Qwen2.5's instructions put into config.json.
    "yarn": (128, 32768, {
        "rope_type": "yarn", "rope_theta": 1000000.0, "factor": 4.0, "original_max_position_embeddings": 32768,
    }),
    # Every other parameter that YaRN has.
    "yarn_mscale": (64, 16384, {
        "rope_type": "yarn", "rope_theta": 10000.0, "factor": 40.0, "original_max_position_embeddings": 4096, "mscale": 0.707,
        "mscale_all_dim": 1.0, "beta_fast": 20.0, "beta_slow": 2.0, "truncate": False,
    }),
    "yarn_attention": (64, 8192, {
        "rope_type": "yarn", "rope_theta": 10000.0, "factor": 8.0, "attention_factor": 1.5,
        "original_max_position_embeddings": 1024,
    }),
    # No position exceeds the original length: the short factors. The attention factor follows from the two lengths.
    "longrope_short": (32, 131072, {
        "rope_type": "longrope", "rope_theta": 10000.0, "original_max_position_embeddings": 4096,
        "short_factor": [1.0 + 0.05 * i for i in range(16)], "long_factor": [1.0 + 2.5 * i for i in range(16)],
    }),
    # The long factors, and an attention factor by `factor`.
    "longrope_long": (32, 8192, {
        "rope_type": "longrope", "rope_theta": 10000.0, "original_max_position_embeddings": 4095, "factor": 32.0,
        "short_factor": [1.0 + 0.05 * i for i in range(16)], "long_factor": [1.0 + 2.5 * i for i in range(16)],
    }),
}


def write(path):
    tensors = {"positions": torch.tensor(POSITIONS, dtype=torch.int32)}
    for name, (head_dim, positions, parameters) in SHAPES.items():
        config = LlamaConfig(
            hidden_size=head_dim * 2, num_attention_heads=2, head_dim=head_dim, max_position_embeddings=positions,
            rope_parameters=parameters,
        )
        rotary = LlamaRotaryEmbedding(config)
        cos, sin = rotary(torch.zeros(1), torch.tensor([POSITIONS]))
        tensors |= {
            f"{name}.frequencies": rotary.inv_freq,
            f"{name}.cos": cos[0, :, : head_dim // 2],
            f"{name}.sin": sin[0, :, : head_dim // 2],
        }
    save_file({name: tensor.contiguous().clone() for name, tensor in tensors.items()}, path)
