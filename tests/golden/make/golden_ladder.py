"""The golden ladder's models: small, random, NF4 by bitsandbytes, LoRA by PEFT, computed by transformers on the CPU."""

import json
import math
import shutil
import tempfile
from pathlib import Path

import bitsandbytes
import torch
from bitsandbytes import functional as bnb_functional
from peft import LoraConfig, PeftModel, get_peft_model, prepare_model_for_kbit_training
from peft.utils import get_peft_model_state_dict
from safetensors.torch import save_file
from transformers import (
    AutoModelForCausalLM,
    BitsAndBytesConfig,
    Gemma2Config,
    Gemma2ForCausalLM,
    Gemma3Config,
    Gemma3ForCausalLM,
    Gemma3ForConditionalGeneration,
    Gemma3TextConfig,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Phi3Config,
    Phi3ForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
    SmolLM3Config,
    SmolLM3ForCausalLM,
    get_cosine_schedule_with_warmup,
)

import golden_reference as reference

STEPS, WARMUP_STEPS = 10, 2
TRAINING = {
    "learning_rate": 1e-2,
    "beta1": 0.9,
    "beta2": 0.999,
    "epsilon": 1e-8,
    "weight_decay": 0.1,
    "max_grad_norm": 0.3,
}
IGNORED = reference.IGNORED

CASES = {
    # Three query heads to a key head, a hidden size that is no multiple of 64, an odd vocabulary, tied embeddings.
    "gqa_tied": {
        "seed": 1,
        "model": LlamaForCausalLM,
        "config": LlamaConfig(
            vocab_size=131, hidden_size=96, intermediate_size=104, num_hidden_layers=2, num_attention_heads=6,
            num_key_value_heads=2, head_dim=16, tie_word_embeddings=True, max_position_embeddings=256,
            rms_norm_eps=1e-5,
        ),
        "dtype": torch.float32,
        "double_quantization": True,
        "lora": {"r": 4, "lora_alpha": 8, "target_modules": "all-linear", "use_rslora": False},
        "documents": [[9, 1, 14], [5, 2]],
    },
    # As many key heads as query heads, an output layer of its own, bf16 in shards, Llama-3's RoPE.
    "llama3_sharded": {
        "seed": 2,
        "model": LlamaForCausalLM,
        "config": LlamaConfig(
            vocab_size=97, hidden_size=64, intermediate_size=112, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=4, head_dim=16, tie_word_embeddings=False, max_position_embeddings=1024,
            rope_parameters={
                "rope_type": "llama3", "rope_theta": 10000.0, "factor": 4.0, "low_freq_factor": 1.0,
                "high_freq_factor": 4.0, "original_max_position_embeddings": 256,
            },
        ),
        "dtype": torch.bfloat16,
        "shard": "80KB",
        "double_quantization": False,
        "lora": {"r": 8, "lora_alpha": 16, "target_modules": ["q_proj", "v_proj"], "use_rslora": False},
        "documents": [[17, 1, 3], [11]],
    },
    # Biases on q, k and v, five query heads to one key head, f16, rsLoRA.
    "qwen2_rslora": {
        "seed": 3,
        "model": Qwen2ForCausalLM,
        "config": Qwen2Config(
            vocab_size=113, hidden_size=80, intermediate_size=136, num_hidden_layers=2, num_attention_heads=5,
            num_key_value_heads=1, tie_word_embeddings=False, max_position_embeddings=256, eos_token_id=2,
            rope_parameters={"rope_type": "default", "rope_theta": 1000000.0},
        ),
        "dtype": torch.float16,
        "double_quantization": True,
        "lora": {"r": 4, "lora_alpha": 6, "target_modules": "all-linear", "use_rslora": True},
        "documents": [[1, 12, 6], [1]],
    },
    # A rank above the size of k and v, which PEFT allows; YaRN, whose cosines and sines are larger than 1.
    "yarn_wide_rank": {
        "seed": 4,
        "model": LlamaForCausalLM,
        "config": LlamaConfig(
            vocab_size=103, hidden_size=48, intermediate_size=72, num_hidden_layers=2, num_attention_heads=3,
            num_key_value_heads=1, head_dim=16, tie_word_embeddings=False, max_position_embeddings=256,
            rope_parameters={
                "rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 64,
            },
        ),
        "dtype": torch.bfloat16,
        "double_quantization": True,
        "lora": {"r": 24, "lora_alpha": 24, "target_modules": ["k_proj", "v_proj", "down_proj"], "use_rslora": False},
        "documents": [[13, 4], [9]],
    },
    # Norms of q and k, whose heads together are narrower than the hidden size; tied embeddings.
    "qwen3_tied": {
        "seed": 5,
        "model": Qwen3ForCausalLM,
        "config": Qwen3Config(
            vocab_size=109, hidden_size=72, intermediate_size=88, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2, head_dim=16, tie_word_embeddings=True, max_position_embeddings=256, eos_token_id=2,
            rope_parameters={"rope_type": "default", "rope_theta": 1000000.0},
        ),
        "dtype": torch.bfloat16,
        "double_quantization": True,
        "lora": {"r": 4, "lora_alpha": 8, "target_modules": "all-linear", "use_rslora": False},
        "documents": [[11, 1, 7], [6]],
    },
    # A window shorter than the documents in all layers.
    "mistral_window": {
        "seed": 6,
        "model": MistralForCausalLM,
        "config": MistralConfig(
            vocab_size=61, hidden_size=48, intermediate_size=56, num_hidden_layers=2, num_attention_heads=3,
            num_key_value_heads=1, head_dim=16, tie_word_embeddings=False, max_position_embeddings=256,
            sliding_window=5, rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
        ),
        "dtype": torch.bfloat16,
        "double_quantization": True,
        "lora": {"r": 4, "lora_alpha": 8, "target_modules": "all-linear", "use_rslora": False},
        "documents": [[5, 14, 1], [11, 6]],
    },
    # Fused q, k, v and gate, up; a window in all layers.
    "phi3_window": {
        "seed": 9,
        "model": Phi3ForCausalLM,
        "config": Phi3Config(
            vocab_size=53, hidden_size=48, intermediate_size=40, num_hidden_layers=2, num_attention_heads=3,
            num_key_value_heads=1, tie_word_embeddings=False, max_position_embeddings=64,
            original_max_position_embeddings=64, sliding_window=6, eos_token_id=2, pad_token_id=0,
            rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
        ),
        "dtype": torch.bfloat16,
        "double_quantization": True,
        "lora": {"r": 4, "lora_alpha": 8, "target_modules": "all-linear", "use_rslora": False},
        "documents": [[4, 13, 1], [9]],
    },
    # The same under LongRoPE, which turns three quarters of each head; the output layer has no adapter, nor has o.
    "phi3_longrope": {
        "seed": 10,
        "model": Phi3ForCausalLM,
        "config": Phi3Config(
            vocab_size=47, hidden_size=64, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2, tie_word_embeddings=True, max_position_embeddings=64,
            original_max_position_embeddings=7, eos_token_id=2, pad_token_id=0, partial_rotary_factor=0.75,
            rope_parameters={
                "rope_type": "longrope", "rope_theta": 10000.0, "partial_rotary_factor": 0.75,
                "short_factor": [1.0, 1.05, 1.1, 1.3, 1.6, 2.0], "long_factor": [1.1, 1.7, 3.5, 8.0, 15.0, 30.0],
            },
        ),
        "dtype": torch.bfloat16,
        "double_quantization": True,
        "lora": {
            "r": 4, "lora_alpha": 8, "target_modules": ["qkv_proj", "gate_up_proj", "down_proj"], "use_rslora": False,
        },
        "documents": [[12, 8], [5, 1, 7]],
    },
    # Biases everywhere, and heads that together are wider than the hidden size.
    "llama_biased": {
        "seed": 11,
        "model": LlamaForCausalLM,
        "config": LlamaConfig(
            vocab_size=51, hidden_size=40, intermediate_size=56, num_hidden_layers=2, num_attention_heads=2,
            num_key_value_heads=2, head_dim=24, tie_word_embeddings=True, max_position_embeddings=64,
            attention_bias=True, mlp_bias=True,
        ),
        "dtype": torch.bfloat16,
        "double_quantization": False,
        "lora": {"r": 4, "lora_alpha": 8, "target_modules": "all-linear", "use_rslora": False},
        "documents": [[10, 3], [7]],
    },
    # The second layer has no positions, but a window; biases in attention.
    "smollm3": {
        "seed": 12,
        "model": SmolLM3ForCausalLM,
        "config": SmolLM3Config(
            vocab_size=57, hidden_size=48, intermediate_size=40, num_hidden_layers=2, num_attention_heads=3,
            num_key_value_heads=1, tie_word_embeddings=True, max_position_embeddings=64, eos_token_id=2,
            pad_token_id=0, bos_token_id=1, no_rope_layer_interval=2, use_sliding_window=True, sliding_window=6,
            attention_bias=True, rope_parameters={"rope_type": "default", "rope_theta": 2000000.0},
        ),
        "dtype": torch.bfloat16,
        "double_quantization": True,
        "lora": {"r": 4, "lora_alpha": 8, "target_modules": "all-linear", "use_rslora": False},
        "documents": [[11, 4], [1, 8]],
    },
    # The second layer alone has the window.
    "qwen3_window": {
        "seed": 7,
        "model": Qwen3ForCausalLM,
        "config": Qwen3Config(
            vocab_size=67, hidden_size=40, intermediate_size=56, num_hidden_layers=2, num_attention_heads=2,
            num_key_value_heads=1, head_dim=16, tie_word_embeddings=True, max_position_embeddings=256, eos_token_id=2,
            use_sliding_window=True, sliding_window=4, max_window_layers=1,
            rope_parameters={"rope_type": "default", "rope_theta": 1000000.0},
        ),
        "dtype": torch.bfloat16,
        "double_quantization": False,
        "lora": {"r": 4, "lora_alpha": 8, "target_modules": "all-linear", "use_rslora": False},
        "documents": [[2, 15, 3], [10]],
    },
    # Ranks and alphas of single modules under rsLoRA; a layer without an adapter, and a module that is left out.
    "llama_patterns": {
        "seed": 6,
        "model": LlamaForCausalLM,
        "config": LlamaConfig(
            vocab_size=101, hidden_size=64, intermediate_size=80, num_hidden_layers=3, num_attention_heads=4,
            num_key_value_heads=2, head_dim=16, tie_word_embeddings=True, max_position_embeddings=256,
        ),
        "dtype": torch.bfloat16,
        "double_quantization": True,
        "lora": {
            "r": 4, "lora_alpha": 8, "use_rslora": True,
            "target_modules": ["q_proj", "k_proj", "v_proj", "o_proj", "up_proj", "down_proj"],
            "exclude_modules": ["o_proj"], "layers_to_transform": [0, 2],
            "rank_pattern": {"q_proj": 2, r"layers\.2\.mlp\..*": 7}, "alpha_pattern": {"v_proj": 3, "down_proj": 2.5},
        },
        # Written by hand: rank and alpha where they are not 4 and 8.
        "ranks": {
            "layers.0.self_attn.q_proj": (2, 8), "layers.2.self_attn.q_proj": (2, 8), "layers.0.self_attn.v_proj": (4, 3),
            "layers.2.self_attn.v_proj": (4, 3), "layers.0.mlp.down_proj": (4, 2.5), "layers.2.mlp.down_proj": (7, 2.5),
            "layers.2.mlp.up_proj": (7, 8),
        },
        "documents": [[8, 3], [6]],
    },
    # Documents beyond the original length, then documents within it: transformers decides by the longest of a batch.
    "longrope": {
        "seed": 8,
        "model": LlamaForCausalLM,
        "config": LlamaConfig(
            vocab_size=59, hidden_size=40, intermediate_size=56, num_hidden_layers=2, num_attention_heads=2,
            num_key_value_heads=1, head_dim=16, tie_word_embeddings=True, max_position_embeddings=64,
            rope_parameters={
                "rope_type": "longrope", "rope_theta": 10000.0, "original_max_position_embeddings": 8,
                "short_factor": [1.0, 1.1, 1.2, 1.3, 1.5, 1.7, 1.9, 2.1],
                "long_factor": [1.2, 1.9, 3.1, 5.0, 8.5, 12.0, 20.0, 31.0],
            },
        ),
        "dtype": torch.bfloat16,
        "double_quantization": True,
        "lora": {"r": 4, "lora_alpha": 8, "target_modules": "all-linear", "use_rslora": False},
        "documents": [[13, 9], [6, 8, 2]],
    },
    # Post-norms, scaled embeddings, GeGLU, a window in every second layer; both soft caps low enough to bend.
    "gemma2_caps": {
        "seed": 21,
        "model": Gemma2ForCausalLM,
        "config": Gemma2Config(
            vocab_size=73, hidden_size=48, intermediate_size=56, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2, head_dim=16, max_position_embeddings=256, query_pre_attn_scalar=24,
            sliding_window=5, attn_logit_softcapping=4.0, final_logit_softcapping=5.0, pad_token_id=0,
            rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
        ),
        "dtype": torch.float32,
        "double_quantization": True,
        "lora": {"r": 4, "lora_alpha": 24, "target_modules": "all-linear", "use_rslora": False},
        "documents": [[12, 1, 6], [9]],
    },
    # Norms of q and k; a layer with a window and one without, which rotate in ways of their own, one of them scaled.
    "gemma3_ropes": {
        "seed": 22,
        "model": Gemma3ForCausalLM,
        "config": Gemma3TextConfig(
            vocab_size=71, hidden_size=40, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2,
            num_key_value_heads=1, head_dim=16, max_position_embeddings=256, query_pre_attn_scalar=10,
            sliding_window=4, sliding_window_pattern=2, pad_token_id=0,
            rope_parameters={
                "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1000000.0},
                "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
            },
        ),
        "dtype": torch.bfloat16,
        "double_quantization": False,
        "lora": {"r": 4, "lora_alpha": 24, "target_modules": "all-linear", "use_rslora": False},
        "documents": [[3, 14, 1], [10]],
    },
    # Gemma 3 with a part that sees images, which stays out of the training.
    "gemma3_vision": {
        "seed": 23,
        "model": Gemma3ForConditionalGeneration,
        "config": Gemma3Config(
            text_config={
                "vocab_size": 59, "hidden_size": 32, "intermediate_size": 40, "num_hidden_layers": 2,
                "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16, "max_position_embeddings": 256,
                "query_pre_attn_scalar": 16, "sliding_window": 6, "sliding_window_pattern": 2, "pad_token_id": 0,
            },
            vision_config={
                "model_type": "siglip_vision_model", "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1,
                "num_attention_heads": 1, "image_size": 4, "patch_size": 2,
            },
            mm_tokens_per_image=4, image_token_index=58, boi_token_index=56, eoi_token_index=57,
        ),
        "dtype": torch.bfloat16,
        "double_quantization": True,
        "lora": {
            "r": 4, "lora_alpha": 64, "use_rslora": False,
            "target_modules": [
                f"model.language_model.layers.{layer}.{module}" for layer in (0, 1)
                for module in ("self_attn.q_proj", "self_attn.v_proj", "mlp.gate_proj", "mlp.down_proj")
            ],
        },
        "documents": [[13, 4], [8]],
    },
}


def is_gemma(config):
    """Gemma stores a norm's weight less 1, and multiplies embeddings by the root of the hidden size."""
    return config.model_type.startswith("gemma")


def make_base_model(case, folder):
    """Weights larger than a fresh model's, so that attention is not uniform and every gradient counts."""
    generator = torch.Generator().manual_seed(case["seed"])
    model = case["model"](case["config"])
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if name.endswith("norm.weight"):
                parameter.copy_((0 if is_gemma(case["config"]) else 1) + 0.1 * noise)
            elif name.endswith("bias"):
                parameter.copy_(0.2 * noise)
            elif name.endswith("embed_tokens.weight") or name == "lm_head.weight":
                parameter.copy_((0.16 if is_gemma(case["config"]) else 0.3) * noise)
            elif ".language_model." in name or isinstance(model.get_submodule(name.rpartition(".")[0]), torch.nn.Linear):
                parameter.copy_(1.5 / math.sqrt(parameter.shape[1]) * noise)
            else:
                parameter.copy_(noise)
    model.to(case["dtype"]).save_pretrained(folder, max_shard_size=case.get("shard", "5GB"))
    (folder / "generation_config.json").unlink()


def make_batches(case):
    """Documents end to end; a prompt of a third is not trained, the last token's target stands for the end."""
    generator = torch.Generator().manual_seed(100 + case["seed"])
    batches = []
    for lengths in case["documents"]:
        tokens = torch.randint(0, case["config"].get_text_config().vocab_size, (sum(lengths),), generator=generator)
        targets, positions, starts, start = [], [], [], 0
        for length in lengths:
            document = tokens[start : start + length].tolist() + [2]
            targets += [IGNORED if i < length // 3 else document[i + 1] for i in range(length)]
            positions += list(range(length))
            starts += [start] * length
            start += length
        as_tensor = lambda values: torch.tensor(values, dtype=torch.int64)
        batches.append({
            "tokens": tokens, "targets": as_tensor(targets), "positions": as_tensor(positions),
            "segment_starts": as_tensor(starts),
        })
    return batches


def load_quantized(folder, double_quantization):
    model = AutoModelForCausalLM.from_pretrained(
        folder,
        quantization_config=BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=double_quantization,
            bnb_4bit_compute_dtype=torch.float32,
        ),
        device_map={"": "cpu"}, dtype=torch.float32, attn_implementation="eager",
    )
    for module in model.modules():
        # Outside of training bitsandbytes would repack the weights for a bf16 kernel of the CPU.
        if isinstance(module, bitsandbytes.nn.Linear4bit):
            module.support_avx512bf16_for_cpu = False
    return model


def forward(model, batch, **options):
    """One packed row: transformers masks by itself what lies in another document, or outside of a layer's window."""
    return model(
        input_ids=batch["tokens"][None], position_ids=batch["positions"][None], use_cache=False, **options,
    )


def lora_parameters(model):
    """PEFT's file name -> parameter."""
    return {
        name.replace(".default.", "."): parameter
        for name, parameter in model.named_parameters() if parameter.requires_grad
    }


def put_lora(case, model):
    """LoRA by PEFT; B is not zero, so that the gradient of A is not."""
    torch.manual_seed(case["seed"])
    model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    model = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", lora_dropout=0.0, **case["lora"]))
    with torch.no_grad():
        for name, parameter in lora_parameters(model).items():
            if "lora_B" in name:
                parameter.normal_(0, 0.02)
    model.train()
    return model


def dequantized_weights(model):
    weights = {}
    for name, module in model.named_modules():
        if isinstance(module, bitsandbytes.nn.Linear4bit):
            weight = module.weight
            weights[f"{name}.weight"] = bnb_functional.dequantize_4bit(weight.data, weight.quant_state)
            if module.bias is not None:
                weights[f"{name}.bias"] = module.bias.data
    quantized = set(weights)
    for name, parameter in model.named_parameters():
        if name not in quantized:
            weights[name] = parameter.data
    return {name: weight.detach().double() for name, weight in weights.items()}


def train(model, batches):
    """Ten steps of two micro-batches by bitsandbytes' 32-bit AdamW; the decay after the step, as its CUDA kernel has it."""
    parameters = list(lora_parameters(model).values())
    rate = TRAINING["learning_rate"]
    optimizer = bitsandbytes.optim.AdamW32bit(
        parameters, lr=rate, betas=(TRAINING["beta1"], TRAINING["beta2"]), eps=TRAINING["epsilon"], weight_decay=0.0,
    )
    schedule = get_cosine_schedule_with_warmup(optimizer, WARMUP_STEPS, STEPS)
    target_count = sum(int((batch["targets"] != IGNORED).sum()) for batch in batches)
    rates, losses, norms = [], [], []
    for _ in range(STEPS):
        optimizer.zero_grad()
        total = 0.0
        for batch in batches:
            loss = reference.loss_sum(forward(model, batch).logits[0], batch["targets"])
            (loss / target_count).backward()
            total += loss.item()
        rates.append(optimizer.param_groups[0]["lr"])
        losses.append(total / target_count)
        norms.append(torch.nn.utils.clip_grad_norm_(parameters, TRAINING["max_grad_norm"]).item())
        optimizer.step()
        with torch.no_grad():
            for parameter in parameters:
                parameter.mul_(1 - rates[-1] * TRAINING["weight_decay"])
        schedule.step()
    return rates, losses, norms


def distance(found, truth):
    """Largest difference, and the largest magnitude that it is to be seen against."""
    return {
        "max_abs": float((found.double() - truth).abs().max()),
        "scale": float(truth.abs().max()),
    }


def write_case(name, case, root):
    folder = root / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    make_base_model(case, folder / "model")
    batches = make_batches(case)
    model = load_quantized(folder / "model", case["double_quantization"])
    if name == "gqa_tied":
        model.save_pretrained(folder / "model_nf4")
        (folder / "model_nf4" / "generation_config.json").unlink()
    weights = dequantized_weights(model)
    model = put_lora(case, model)
    adapter = {key: parameter.detach().clone() for key, parameter in lora_parameters(model).items()}
    assert adapter.keys() == get_peft_model_state_dict(model).keys()
    tensors = {f"initial.{key}": value for key, value in adapter.items()}

    lora = case["lora"]

    def scale(name):
        rank, alpha = case.get("ranks", {}).get(name.removeprefix("model."), (lora["r"], lora["lora_alpha"]))
        return alpha / (math.sqrt(rank) if lora["use_rslora"] else rank)

    config = model.config.get_text_config()
    text_module = "model" if config is model.config else "model.language_model"
    config.head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    rotary = model.base_model.model.get_submodule(text_module).rotary_emb

    def angles(batch, *layer_type):
        tables = rotary(torch.zeros(1), batch["positions"][None], *layer_type)
        return [x[0, :, : x.shape[-1] // 2].double() for x in tables]

    def reference_logits(adapter, batch):
        if config.model_type == "gemma3_text":
            ropes = [angles(batch, layer_type) for layer_type in config.layer_types]
        else:
            ropes = [angles(batch)] * config.num_hidden_layers
        return reference.logits(config, weights, adapter, scale, batch, ropes, text_module)

    def reference_loss(adapter, batch):
        return reference.loss_sum(reference_logits(adapter, batch), batch["targets"])

    errors, summaries = {"gradients": {}}, []
    for i, batch in enumerate(batches):
        model.zero_grad()
        output = forward(model, batch, output_hidden_states=True)
        loss = reference.loss_sum(output.logits[0], batch["targets"])
        loss.backward()
        gradients = {key: parameter.grad.clone() for key, parameter in lora_parameters(model).items()}
        tensors |= {f"batch{i}.{key}": value.to(torch.int32) for key, value in batch.items()}
        tensors[f"batch{i}.logits"] = output.logits[0]
        for layer, hidden in enumerate(output.hidden_states):
            tensors[f"batch{i}.hidden{layer}"] = hidden[0]
        tensors |= {f"batch{i}.gradient.{key}": value for key, value in gradients.items()}
        leaves = {key: value.double().requires_grad_() for key, value in adapter.items()}
        truth = reference_logits(leaves, batch)
        true_loss = reference.loss_sum(truth, batch["targets"])
        true_gradients = torch.autograd.grad(true_loss, list(leaves.values()))
        errors[f"logits{i}"] = distance(output.logits[0].detach(), truth.detach())
        errors[f"loss{i}"] = distance(loss.detach(), true_loss.detach())
        worst = max(
            (distance(gradients[key], value) for key, value in zip(leaves, true_gradients)),
            # A gradient that is zero in truth (queries and keys of a single token) must be zero.
            key=lambda found: found["max_abs"] / max(found["scale"], 1e-30),
        )
        errors[f"gradient{i}"] = worst
        assert len(batch["tokens"]) == 1 or all(float(value.abs().max()) > 0 for value in gradients.values())
        count = int((batch["targets"] != IGNORED).sum())
        summaries.append({"loss_sum": loss.item(), "target_count": count})
    del errors["gradients"]

    rates, losses, norms = train(model, batches)
    final = {key: parameter.detach() for key, parameter in lora_parameters(model).items()}
    tensors |= {f"final.{key}": value for key, value in final.items()}
    tensors |= {f"final.logits{i}": forward(model, batch).logits[0] for i, batch in enumerate(batches)}
    true_losses, true_norms, true_final = reference.train(
        reference_loss, {key: value.double() for key, value in adapter.items()}, batches, rates,
        TRAINING,
    )
    errors["losses"] = distance(torch.tensor(losses, dtype=torch.float64), torch.tensor(true_losses, dtype=torch.float64))
    errors["gradient_norms"] = distance(
        torch.tensor(norms, dtype=torch.float64), torch.tensor(true_norms, dtype=torch.float64)
    )
    errors["final"] = max(
        (distance(final[key], value) for key, value in true_final.items()), key=lambda found: found["max_abs"]
    )
    for key, found in errors.items():
        assert found["max_abs"] <= 1e-3 * max(found["scale"], 1e-3), (name, key, found)

    model.peft_config["default"].base_model_name_or_path = f"golden/{name}"
    with tempfile.TemporaryDirectory() as written:
        model.save_pretrained(written)
        (folder / "adapter").mkdir()
        for file in ("adapter_config.json", "adapter_model.safetensors"):
            shutil.copyfile(Path(written) / file, folder / "adapter" / file)
    save_file({key: value.detach().contiguous().clone() for key, value in tensors.items()}, folder / "golden.safetensors")
    (folder / "case.json").write_text(json.dumps({
        "double_quantization": case["double_quantization"],
        "lora": lora,
        "training": TRAINING,
        "batches": summaries,
        "learning_rates": rates,
        "losses": losses,
        "gradient_norms": norms,
        "f32_error": errors,
    }, indent=2) + "\n")
    print(name, "losses", [round(loss, 4) for loss in losses], "norms", [round(norm, 3) for norm in norms])
    print(name, "errors", errors)


def write(root):
    for name, case in CASES.items():
        write_case(name, case, root)


PROMPTS = [[5, 9, 2, 77, 31, 8], [3], [90, 1, 64, 7, 23, 55, 101, 4, 18]]
NEW_TOKENS = 12


def answers(folder, case):
    """Greedy answers under the final adapter, by transformers with its KV cache, one prompt at a time."""
    # Of the classes that take LongRoPE, Phi-3's alone starts anew where the long factors begin; in others keys that were
    # turned by the short ones would stay in the cache.
    rope = getattr(case["config"], "rope_parameters", None) or {}
    use_cache = rope.get("rope_type") != "longrope" or case["model"].__name__ == "Phi3ForCausalLM"
    model = load_quantized(folder / "model", case["double_quantization"])
    model = PeftModel.from_pretrained(model, folder / "adapter").eval()
    # No token ends an answer.
    model.generation_config.eos_token_id = None
    found = []
    for prompt in PROMPTS:
        tokens = torch.tensor([[token % model.get_input_embeddings().num_embeddings for token in prompt]])
        with torch.no_grad():
            whole = model.generate(
                input_ids=tokens, attention_mask=torch.ones_like(tokens), max_new_tokens=NEW_TOKENS, do_sample=False,
                pad_token_id=0, use_cache=use_cache,
            )
        found.append(whole[0, len(prompt) :].tolist())
    return found


def write_answers(goldens):
    result = {name: answers(goldens / "ladder" / name, case) for name, case in CASES.items()}
    lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in result.items())
    text = f'{{\n"prompts": {json.dumps(PROMPTS)},\n"answers": {{\n{lines}\n}}\n}}\n'
    (goldens / "generation.json").write_text(text)
