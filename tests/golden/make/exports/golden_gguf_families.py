"""What llama.cpp's own scripts make of a small model of each family and of an adapter: metadata, and every tensor's SHA-256.

    python golden_gguf_families.py --llama-cpp <folder>

The folder holds llama.cpp's source: `pip download --no-deps --no-binary llama-cpp-python llama-cpp-python==0.3.36` has it under
vendor/llama.cpp, at the version that the checks of docs/benchmarks/exports.txt run. Needs transformers, sentencepiece and numpy.

The models' values follow from their names and places (`values_of`), so that no weights are committed:
tests/golden/exports/gguf_families.ts makes the same ones. Two small SentencePiece models are trained here, Gemma's kind and
Llama's, and kept as transformers converts them.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy
import sentencepiece
import torch
import transformers
from safetensors import safe_open
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

EXPORTS = Path(__file__).parents[2] / "exports"
VOCABULARY = 420

COMMON = {"vocab_size": VOCABULARY, "hidden_size": 64, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
GEMMA = {**COMMON, "bos_token_id": 2, "eos_token_id": 1, "head_dim": 32, "query_pre_attn_scalar": 32, "max_position_embeddings": 64}
GEMMA3 = {
    **GEMMA, "intermediate_size": 64, "num_attention_heads": 2, "num_key_value_heads": 1, "sliding_window": 5,
    "rope_parameters": {
        "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1000000.0},
        "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
    },
}
FACTORS = {
    "short_factor": [1.0, 1.05, 1.1, 1.3, 1.6, 2.0], "long_factor": [1.1, 1.7, 3.5, 8.0, 15.0, 30.0],
}
PHI3 = {
    **COMMON, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
    "max_position_embeddings": 64, "rms_norm_eps": 1e-5,
}
LLAMA = {
    **COMMON, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
    "max_position_embeddings": 64,
}

# By the case's name: the configuration class of transformers, its fields, the tokenizer, the layers with LoRA.
CASES = {
    "llama": ("LlamaConfig", {**LLAMA, "tie_word_embeddings": False}, "llama", "q_proj o_proj"),
    "mistral": ("MistralConfig", {**LLAMA, "head_dim": 32, "sliding_window": None}, "llama", "k_proj down_proj"),
    "phi3": (
        "Phi3Config", {**PHI3, "original_max_position_embeddings": 64, "sliding_window": 20, "tie_word_embeddings": False},
        "phi3", "qkv_proj gate_up_proj",
    ),
    # The part that is turned is three quarters of a head.
    "phi3_longrope": (
        "Phi3Config",
        {
            **PHI3, "original_max_position_embeddings": 256, "max_position_embeddings": 1024, "partial_rotary_factor": 0.75, "tie_word_embeddings": True,
            "rope_parameters": {"rope_type": "longrope", "rope_theta": 10000.0, "partial_rotary_factor": 0.75, **FACTORS},
        },
        "phi3", "qkv_proj o_proj gate_up_proj down_proj",
    ),
    # The fourth layer has no positions.
    "smollm3": (
        "SmolLM3Config",
        {
            **LLAMA, "num_hidden_layers": 4, "tie_word_embeddings": True,
            "rope_parameters": {"rope_type": "default", "rope_theta": 2000000.0},
        },
        "llama", "q_proj k_proj v_proj",
    ),
    # Heads wider than the hidden size; every second layer without a window.
    "gemma2": (
        "Gemma2Config",
        {
            **GEMMA, "intermediate_size": 96, "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2,
            "sliding_window": 5, "attn_logit_softcapping": 5.5, "final_logit_softcapping": 6.5,
        },
        "gemma", "q_proj v_proj down_proj",
    ),
    # Every sixth layer without a window; two RoPEs.
    "gemma3": ("Gemma3TextConfig", {**GEMMA3, "num_hidden_layers": 7}, "gemma", "q_proj k_proj gate_proj"),
    # The language model of one that sees images.
    "gemma3_vision": (
        "Gemma3Config",
        {
            "text_config": {**GEMMA3, "num_hidden_layers": 2, "tie_word_embeddings": True}, "tie_word_embeddings": True,
            "vision_config": {
                "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 28,
                "patch_size": 14, "vision_use_head": False,
            },
            "image_token_index": 5, "boi_token_index": 6, "eoi_token_index": 7, "mm_tokens_per_image": 4,
        },
        "gemma", "o_proj up_proj",
    ),
}


def values_of(name, shape):
    """Multiples of 1/256 from -127 to 127, by the name's UTF-8 and the element's place; norms are around 1."""
    seed = 0
    for byte in name.encode():
        seed = (seed * 31 + byte) % 2**32
    count = int(numpy.prod(shape))
    x = (numpy.arange(count, dtype=numpy.uint64) * 2654435761 + seed) % 2**32
    for shift, factor in ((15, 0x2C1B3C6D), (12, 0x297A2D39)):
        x = ((x ^ (x >> shift)) * factor) % 2**32
    values = (((x >> 16) % 255).astype(numpy.float32) - 127) / 256
    if "norm" in name:
        values = values / 4 + (0 if "gemma" in name else 1)
    return torch.from_numpy(values.reshape(shape).astype(numpy.float32))


def seeded(case, name, shape):
    return values_of(f"{case}/{name}", shape)


def make_model(case, folder):
    """A model's folder; returns the stored tensors' shapes."""
    kind, fields, tokenizer, _ = CASES[case]
    config = getattr(transformers, kind)(**fields)
    config.dtype = "float32"
    model = AutoModelForCausalLM.from_config(config) if kind != "Gemma3Config" else transformers.Gemma3ForConditionalGeneration(config)
    model.save_pretrained(folder)
    path = folder / "model.safetensors"
    with safe_open(path, "pt") as file:
        shapes = {name: list(file.get_slice(name).get_shape()) for name in sorted(file.keys())}
    save_file({name: seeded(case, name, shape) for name, shape in shapes.items()}, path, {"format": "pt"})
    for source in (EXPORTS / f"tokenizer_{tokenizer}").iterdir():
        (folder / source.name).write_bytes(source.read_bytes())
    (folder / "tokenizer.model").write_bytes((folder.parent / f"{tokenizer}.model").read_bytes())
    return shapes


def make_adapter(case, folder, model_folder, shapes):
    """PEFT's files, of rank 4; returns the tensors' shapes."""
    targets = CASES[case][3].split()
    folder.mkdir()
    config = {
        "peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 4, "lora_alpha": 8, "target_modules": targets,
        "base_model_name_or_path": str(model_folder),
    }
    (folder / "adapter_config.json").write_text(json.dumps(config))
    tensors = {}
    for name, shape in shapes.items():
        module = name.removesuffix(".weight")
        if module.rsplit(".", 1)[-1] not in targets or "vision" in module:
            continue
        # transformers computes a model that sees images under different names than it stores.
        module = module.replace("language_model.model.", "model.language_model.")
        tensors[f"base_model.model.{module}.lora_A.weight"] = [4, shape[1]]
        tensors[f"base_model.model.{module}.lora_B.weight"] = [shape[0], 4]
    save_file({name: seeded(case, name, shape) for name, shape in tensors.items()}, folder / "adapter_model.safetensors", {"format": "pt"})
    return tensors


def convert(llama_cpp, script, arguments, out):
    environment = {**os.environ, "PYTHONPATH": str(llama_cpp / "gguf-py")}
    command = [sys.executable, str(llama_cpp / script), "--outtype", "f32", "--outfile", str(out), *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{script} failed:\n{done.stderr[-3000:]}")


def read(path):
    """Metadata by key, and for each tensor its shape, rows first, with the start of its SHA-256."""
    import gguf

    reader = gguf.GGUFReader(path)
    metadata = {
        name: field.contents() for name, field in reader.fields.items() if not name.startswith("GGUF.")
    }
    tensors = {
        tensor.name: [list(map(int, reversed(tensor.shape))), hashlib.sha256(tensor.data.tobytes()).hexdigest()[:16]]
        for tensor in reader.tensors
    }
    return metadata, dict(sorted(tensors.items()))


TEXTS = [
    "The quick brown fox jumps over the lazy dog, and it's not the first time that they'd seen it.",
    "Call me Ishmael. Some years ago, never mind how long precisely, I thought I would sail about a little.",
    "def add(a, b):\n    return a + b  # 12345\n\nprint(add(1, 2))",
    "Wörter mit Zeichen, façade, naïve. 東京 は 日本 の 首都 です。",
    "user assistant system\nWhat is the capital of France?\nThe capital of France is Paris.",
]
GEMMA_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{{ '<start_of_turn>' + ('model' if message['role'] == 'assistant' else "
    "message['role']) + '\n' + message['content'] | trim + '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
PHI3_TEMPLATE = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>\n' + message['content'] + '<|end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}"
)


def added(content, rstrip=False, special=True):
    return {
        "content": content, "special": special, "rstrip": rstrip, "lstrip": False, "normalized": False, "single_word": False,
    }


def make_tokenizers(folder):
    """SentencePiece models in `folder`; beside the goldens, what transformers makes of them."""
    corpus = folder / "corpus.txt"
    corpus.write_text("\n".join(line for text in TEXTS for line in text.split("\n")) * 3)
    usual = {
        "input": str(corpus), "model_type": "bpe", "byte_fallback": True, "split_digits": True,
        "normalization_rule_name": "identity", "remove_extra_whitespaces": False, "character_coverage": 1.0,
        "hard_vocab_limit": False,
    }
    gemma = ["<mask>", "[multimodal]", "<unused0>", "<start_of_turn>", "<end_of_turn>", "\n", "\n\n", "▁▁", "▁▁▁", "<h1>"]
    sentencepiece.SentencePieceTrainer.train(
        **usual, model_prefix=str(folder / "gemma"), vocab_size=VOCABULARY, add_dummy_prefix=False, pad_id=0, eos_id=1, bos_id=2,
        unk_id=3, pad_piece="<pad>", eos_piece="<eos>", bos_piece="<bos>", user_defined_symbols=gemma,
    )
    sentencepiece.SentencePieceTrainer.train(
        **usual, model_prefix=str(folder / "llama"), vocab_size=VOCABULARY - 8, add_dummy_prefix=True, unk_id=0, bos_id=1, eos_id=2,
    )
    (folder / "phi3.model").write_bytes((folder / "llama.model").read_bytes())
    from_sentencepiece(folder, "gemma", "GemmaTokenizer", {
        "add_bos_token": True, "bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>", "unk_token": "<unk>",
        "chat_template": GEMMA_TEMPLATE,
    }, [])
    plain = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "add_bos_token": True}
    from_sentencepiece(folder, "llama", "LlamaTokenizer", plain, [])
    # As in Phi-3's files: what follows a special token begins with ▁, and spaces behind one are gone.
    more = ["<|assistant|>", "<|system|>", "<|end|>", "<|user|>", "<|placeholder1|>"]
    from_sentencepiece(
        folder, "phi3", "LlamaTokenizer", {**plain, "eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>", "chat_template": PHI3_TEMPLATE},
        [added("<|endoftext|>"), *[added(text, rstrip=True) for text in more]],
    )


def from_sentencepiece(folder, name, kind, config, more):
    """What transformers makes of the SentencePiece model, with further tokens behind it, beside the goldens."""
    slow = folder / name
    slow.mkdir()
    (slow / "tokenizer.model").write_bytes((folder / f"{name}.model").read_bytes())
    (slow / "tokenizer_config.json").write_text(json.dumps({**config, "tokenizer_class": kind}))
    AutoTokenizer.from_pretrained(slow).save_pretrained(slow)
    tokenizer = json.loads((slow / "tokenizer.json").read_text())
    for entry in more:
        tokenizer["added_tokens"].append({"id": len(tokenizer["model"]["vocab"]) + len(more[: more.index(entry)]), **entry})
    if more:
        for entry in tokenizer["added_tokens"]:
            entry["rstrip"] = entry["rstrip"] or entry["content"] == "</s>"
        tokenizer["pre_tokenizer"] = None
        tokenizer["normalizer"] = {
            "type": "Sequence",
            "normalizers": [
                {"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
            ],
        }
    target = EXPORTS / f"tokenizer_{name}"
    target.mkdir(exist_ok=True)
    write(target / "tokenizer.json", tokenizer)
    decoder = {str(entry["id"]): {key: value for key, value in entry.items() if key != "id"} for entry in tokenizer["added_tokens"]}
    write(target / "tokenizer_config.json", {**config, "tokenizer_class": kind, "added_tokens_decoder": decoder})


def write(path, value):
    path.write_text(json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")
    print(path.name, path.stat().st_size)


def kept(metadata):
    """What describes the model, and what describes its tokenizer; names and sizes for readers are the script's own matter."""
    general = ("general.architecture", "general.type", "general.file_type", "general.quantization_version", "general.alignment")
    model = {key: value for key, value in metadata.items() if not key.startswith(("general.", "tokenizer.")) or key in general}
    return model, {key: value for key, value in metadata.items() if key.startswith("tokenizer.")}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--llama-cpp", required=True, type=Path)
    llama_cpp = parser.parse_args().llama_cpp.resolve()
    sys.path.insert(0, str(llama_cpp / "gguf-py"))
    golden = {"families": {}, "tokenizers": {}}
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        make_tokenizers(work)
        for case, (_, _, tokenizer, _) in CASES.items():
            folder, adapter = work / case, work / f"{case}_adapter"
            shapes = make_model(case, folder)
            adapter_shapes = make_adapter(case, adapter, folder, shapes)
            convert(llama_cpp, "convert_hf_to_gguf.py", [folder], work / f"{case}.gguf")
            convert(llama_cpp, "convert_lora_to_gguf.py", ["--base", folder, adapter], work / f"{case}_adapter.gguf")
            metadata, tensors = read(work / f"{case}.gguf")
            model, golden["tokenizers"][tokenizer] = kept(metadata)
            adapter_metadata, adapter_tensors = read(work / f"{case}_adapter.gguf")
            golden["families"][case] = {
                "config": json.loads((folder / "config.json").read_text()), "shapes": shapes, "adapter_shapes": adapter_shapes,
                "tokenizer": tokenizer, "target_modules": CASES[case][3].split(),
                "metadata": model, "tensors": tensors,
                "adapter_metadata": {key: value for key, value in adapter_metadata.items() if key.startswith("adapter.") or key == "general.architecture"},
                "adapter_tensors": adapter_tensors,
            }
    write(EXPORTS / "gguf_families.json", golden)


if __name__ == "__main__":
    main()
