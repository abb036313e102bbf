"""Trains the demo's base model: a tiny Llama in Hugging Face layout, from a corpus that demo_language.py makes.

    pip install -r requirements.txt
    OMP_NUM_THREADS=1 python make_base_model.py assets/base

Seeded: the same versions on the same kind of CPU give the same weights; another CPU gives others of the same quality.
About ten minutes on one core. No corpus is downloaded or kept: each step draws new examples.
"""

import json
import math
import sys
import time
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM

from demo_language import coded_example, new_rng, prose

STEPS = 1600
WARMUP_STEPS = 150
EXAMPLES_PER_STEP = 128
PROSE_SHARE = 0.12
LEARNING_RATE = 3e-3
SEED = 1
SPECIAL = ["</s>", "<s>", "<pad>"]


def make_tokenizer():
    """Byte-level BPE in which quoted words and answers stay single characters.

    Only a word that follows a space, or begins with one capital, may be merged; everything else is split into
    characters first. So the model can work on letters, and instructions still cost one token a word.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(r" ?[A-Z][a-z]+| [a-z]+|[\s\S]"), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])
    tokenizer.decoder = decoders.ByteLevel()
    rng = new_rng("tokenizer", SEED)
    corpus = [prose(rng) if i % 2 else coded_example(rng)[0] for i in range(8000)]
    tokenizer.train_from_iterator(corpus, trainers.BpeTrainer(
        vocab_size=1024, special_tokens=SPECIAL, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    return tokenizer


def make_config(vocabulary_size):
    return LlamaConfig(
        vocab_size=vocabulary_size, hidden_size=128, intermediate_size=384, num_hidden_layers=4, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=512, rms_norm_eps=1e-5, rope_theta=10000.0, tie_word_embeddings=True,
        bos_token_id=1, eos_token_id=0, pad_token_id=2, attention_bias=False, mlp_bias=False)


def encode_example(tokenizer, rng):
    """(token ids, index of the first trained token): prose is trained whole, coded lines on their answers."""
    if rng.random() < PROSE_SHARE:
        return tokenizer.encode(prose(rng)).ids + [0], 1
    prompt, answer = coded_example(rng)
    prompt_ids = tokenizer.encode(prompt).ids
    return prompt_ids + tokenizer.encode(answer).ids + [0], len(prompt_ids)


def make_batch(examples):
    width = max(len(ids) for ids, _ in examples)
    tokens = torch.full((len(examples), width), 2)
    labels = torch.full((len(examples), width), -100)
    for row, (ids, first) in enumerate(examples):
        tokens[row, :len(ids)] = torch.tensor(ids)
        labels[row, first:len(ids)] = torch.tensor(ids[first:])
    return tokens, labels


@torch.no_grad()
def exact_match(model, tokenizer, pairs, limit=12):
    """Share of prompts whose greedy continuation, up to the end token, is the answer; and the answers themselves."""
    model.eval()
    answers = []
    for prompt, _ in pairs:
        ids = tokenizer.encode(prompt).ids
        out = []
        past = None
        step_input = torch.tensor([ids])
        while len(out) < limit:
            result = model(input_ids=step_input, past_key_values=past, use_cache=True)
            past = result.past_key_values
            token = int(result.logits[0, -1].argmax())
            if token == 0:
                break
            out.append(token)
            step_input = torch.tensor([[token]])
        answers.append(tokenizer.decode(out))
    model.train()
    return sum(a == e for a, (_, e) in zip(answers, pairs)) / len(pairs), answers


def main():
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = make_tokenizer()
    model = LlamaForCausalLM(make_config(tokenizer.get_vocab_size()))
    print("parameters", sum(p.numel() for p in model.parameters()), "vocabulary", tokenizer.get_vocab_size(), flush=True)
    save_model(folder, model, tokenizer)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.98), weight_decay=0.01)
    rng = new_rng("corpus", SEED)
    check_rng = new_rng("check", SEED)
    check = [coded_example(check_rng) for _ in range(150)]
    started = time.time()
    token_count = 0
    running = None
    for step in range(STEPS):
        warm = min(1.0, (step + 1) / WARMUP_STEPS)
        rate = LEARNING_RATE * warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / STEPS)))
        for group in optimizer.param_groups:
            group["lr"] = rate
        tokens, labels = make_batch([encode_example(tokenizer, rng) for _ in range(EXAMPLES_PER_STEP)])
        token_count += int((tokens != 2).sum())
        loss = model(input_ids=tokens, labels=labels).loss
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        loss = loss.item()
        running = loss if running is None else 0.98 * running + 0.02 * loss
        if (step + 1) % 100 == 0:
            print(f"step {step + 1} loss {running:.4f} tokens {token_count} seconds {time.time() - started:.0f}", flush=True)
        if (step + 1) % 500 == 0:
            score, _ = exact_match(model, tokenizer, check)
            print(f"  coded exact match {score:.2f}", flush=True)
            save_model(folder, model, tokenizer)
    save_model(folder, model, tokenizer)


def save_model(folder, model, tokenizer):
    """config.json, model.safetensors in f16 and the tokenizer, as transformers would load them."""
    config = model.config.to_dict()
    config.update(architectures=["LlamaForCausalLM"], torch_dtype="float16", rope_theta=10000.0, rope_scaling=None)
    for key in ["transformers_version", "dtype", "_name_or_path", "rope_parameters", "id2label", "label2id"]:
        config.pop(key, None)
    (folder / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    tensors = {n: t.detach().to(torch.float16).contiguous() for n, t in model.state_dict().items() if n != "lm_head.weight"}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({
        "tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>",
        "add_bos_token": False, "add_eos_token": False, "clean_up_tokenization_spaces": False, "model_max_length": 512,
    }, indent=2) + "\n")


if __name__ == "__main__":
    main()
