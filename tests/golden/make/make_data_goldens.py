"""Makes tests/golden/data/: what the libraries do with text, chats, rows and steps.

    pip install transformers==5.23.0 tokenizers==0.23.3 torch==2.15.0 accelerate==1.15.0 \
        datasets==5.2.0 pyarrow==26.0.1 trl==1.16.0
    python make_data_goldens.py

Everything is made here from seeded randomness; nothing is downloaded. Tests read the written files alone.
"""

import json
import random
import tempfile
from pathlib import Path

import pyarrow as pa
import torch
from datasets.arrow_reader import ReadInstruction
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer, Trainer, TrainerCallback, TrainingArguments, get_scheduler
from trl.data_utils import _pack_bfd, _pack_wrapped, common_prefix_length

DATA = Path(__file__).parents[1] / "data"
LLAMA3_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
CORPUS = [
    "The quick brown fox jumps over the lazy dog, and it's not the first time that they'd seen it.",
    "Call me Ishmael. Some years ago, never mind how long precisely, I thought I would sail about a little.",
    "def add(a, b):\n    return a + b  # 12345\n\nprint(add(1, 2))",
    "Größe, façade, naïve: Wörter mit Zeichen. 東京 は 日本 の 首都 です。",
    "user assistant system\nWhat is the capital of France?\nThe capital of France is Paris.",
] * 3

TEXTS = [
    "",
    "a",
    "Hello world",
    "  leading and trailing  ",
    "It's the 1234567th time; they'LL know.",
    "tabs\tand\r\nlines\n\n\nend\n",
    "Größe naïve façade",
    "e\u0301 combining, \u00e9 composed",
    "東京は日本の首都です",
    "emoji 👩‍👩‍👧 and 🇩🇪",
    "\u0000 nul and \ufffd",
    "a</s>b",
    "<s>[INST] hi [/INST] </s>",
    "<|im_start|>user\nhi<|im_end|>",
    "<think>deep</think> thoughts",
    "</s></s> </s",
    "x <s> y<s>",
    " ",
    "\n",
    "<0x41> <unk>",
]


def save(name, value):
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    (DATA / name).write_text(text + "\n", encoding="utf-8")
    print(name, len(text))


def make_byte_level(folder):
    """Byte-level BPE with Llama 3's split; BOS from the post-processor; special and plain added tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(LLAMA3_SPLIT), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(CORPUS, trainers.BpeTrainer(
        vocab_size=420, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()), show_progress=False))
    tokenizer.add_special_tokens([
        AddedToken(text, special=True, normalized=False) for text in ["<s>", "</s>", "<pad>", "<|im_start|>", "<|im_end|>"]
    ])
    tokenizer.add_tokens([AddedToken(text, special=False, normalized=False) for text in ["<think>", "</think>"]])
    bos = tokenizer.token_to_id("<s>")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", bos)])
    save_tokenizer(folder, tokenizer, {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"})


def make_byte_fallback(folder):
    """BPE as in Llama 2: "▁" for spaces, bytes for the unknown; special tokens lie in the vocabulary and have merges."""
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always", split=True)
    trained.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=200, show_progress=False))
    model = json.loads(trained.to_str())["model"]
    merges = [tuple(merge) for merge in model["merges"]]
    pieces = sorted(model["vocab"], key=model["vocab"].get)
    # What a conversion from SentencePiece may leave behind: merges that lead to a special token.
    pieces += [piece for piece in ["<", "/", "s", ">", "</", "<s", "s>"] if piece not in pieces]
    merges += [("<", "/"), ("<", "s"), ("s", ">"), ("</", "s>"), ("<s", ">")]
    vocab = {"<unk>": 0, "<s>": 1, "</s>": 2}
    for byte in range(256):
        vocab[f"<0x{byte:02X}>"] = len(vocab)
    for piece in pieces:
        vocab.setdefault(piece, len(vocab))
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence([
        decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    tokenizer.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in ["<unk>", "<s>", "</s>"]])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)])
    # transformers ignores add_bos_token where there is a tokenizer.json.
    save_tokenizer(folder, tokenizer, {
        "bos_token": "<s>", "eos_token": {"__type": "AddedToken", "content": "</s>"}, "unk_token": "<unk>",
        "add_bos_token": False, "add_eos_token": True})


def save_tokenizer(folder, tokenizer, config):
    folder.mkdir(exist_ok=True)
    (folder / "tokenizer.json").write_text(
        json.dumps(json.loads(tokenizer.to_str()), ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False, **config}
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def tokenizer_cases(folder):
    parsing = AutoTokenizer.from_pretrained(folder)
    splitting = AutoTokenizer.from_pretrained(folder, split_special_tokens=True)
    cases = []
    for text in TEXTS:
        ids = parsing(text)["input_ids"]
        cases.append({
            "text": text,
            "parsed": ids,
            "parsed_bare": parsing(text, add_special_tokens=False)["input_ids"],
            "split": splitting(text)["input_ids"],
            "decoded": parsing.decode(ids),
            "decoded_plain": parsing.decode(ids, skip_special_tokens=True),
        })
    return {"vocab_size": max(parsing.get_vocab().values()) + 1, "bos": parsing.bos_token_id, "eos": parsing.eos_token_id,
            "pad": parsing.pad_token_id, "cases": cases}


# The assistant's text as a training template marks it: from after the generation prompt to the end of the turn.
TEMPLATES = {
    "chatml": (
        "{%- for message in messages %}{{- '<|im_start|>' + message.role + '\\n' }}"
        "{%- if message.role == 'assistant' %}{% generation %}{{- message.content + '<|im_end|>\\n' }}{% endgeneration %}"
        "{%- else %}{{- message.content + '<|im_end|>\\n' }}{%- endif %}{%- endfor %}"
        "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"),
    "inst": (
        "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}"
        "{{ '[INST] ' + message['content'] + ' [/INST]' }}{% elif message['role'] == 'assistant' %}"
        "{% generation %}{{ ' ' + message['content'] | trim + eos_token }}{% endgeneration %}"
        "{% else %}{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}{% endfor %}"),
    # Ends the finished chat with EOS, so that no turn but the last is a prefix of the whole.
    "closing": (
        "{% for message in messages %}{{ '<|im_start|>' + message.role + '\\n' }}{% if message.role == 'assistant' %}"
        "{% generation %}{{ message.content + '<|im_end|>\\n' }}{% if loop.last %}{{ eos_token }}{% endif %}{% endgeneration %}"
        "{% else %}{{ message.content + '<|im_end|>\\n' }}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"),
    # Thinking is written for the last turn alone, and the generation prompt opens it, as in today's reasoning models.
    "thinking": (
        "{% for message in messages %}{{ '<|im_start|>' + message.role + '\\n' }}{% if message.role == 'assistant' %}"
        "{% generation %}{% if loop.last %}{{ '<think>\\n\\n</think>\\n\\n' }}{% endif %}{{ message.content + '<|im_end|>\\n' }}{% endgeneration %}"
        "{% else %}{{ message.content + '<|im_end|>\\n' }}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"),
}
CHATS = [
    [{"role": "user", "content": "What is 2 + 2?"}, {"role": "assistant", "content": "4"}],
    [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi, what's up?"},
     {"role": "user", "content": "The capital of France?\nPlease."}, {"role": "assistant", "content": "Paris.\n\nIt is 東京 not."}],
    [{"role": "user", "content": "one"}, {"role": "assistant", "content": "two"}, {"role": "user", "content": "three"}],
    [{"role": "user", "content": "repeat: yes"}, {"role": "assistant", "content": "yes"}, {"role": "user", "content": "yes"},
     {"role": "assistant", "content": "yes"}, {"role": "user", "content": "no"}, {"role": "assistant", "content": "yes"}],
]


def chat_cases(folder):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    cases = []
    for name, template in TEMPLATES.items():
        for messages in CHATS:
            if name == "closing" and messages[-1]["role"] != "assistant":
                continue
            encoded = tokenizer.apply_chat_template(
                messages, chat_template=template, tokenize=True, return_dict=True, return_assistant_tokens_mask=True)
            cases.append({
                "template": name,
                "messages": messages,
                "text": tokenizer.apply_chat_template(messages, chat_template=template, tokenize=False),
                "prompt": tokenizer.apply_chat_template(
                    messages[:1], chat_template=template, tokenize=False, add_generation_prompt=True),
                "ids": encoded["input_ids"],
                "mask": encoded["assistant_masks"],
            })
    return {"templates": TEMPLATES, "cases": cases}


def row_cases(folder):
    """Text and prompt–completion rows by the rules of TRL's SFTTrainer._prepare_dataset."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    eos = tokenizer.eos_token
    with_eos = lambda text: text if text.endswith(eos) else text + eos
    cases = []
    for text in ["Some text.", "ends already</s>", "two </s></s>", ""]:
        ids = tokenizer(with_eos(text))["input_ids"]
        cases.append({"row": {"text": text}, "ids": ids, "mask": [1] * len(ids)})
    for prompt, completion in [
        ("Swap the ends of \"mint\":\n", "tinm"), ("No space", " follows"), ("merges i", "nto the completion"),
        ("ends", " with</s>"), ("", "no prompt"),
    ]:
        prompt_ids = tokenizer(prompt)["input_ids"]
        ids = tokenizer(prompt + with_eos(completion))["input_ids"]
        start = common_prefix_length(prompt_ids, ids)
        cases.append({"row": {"prompt": prompt, "completion": completion}, "ids": ids,
                      "mask": [0] * start + [1] * (len(ids) - start)})
    return cases


def packing_cases():
    rng = random.Random(7)
    cases = []
    lengths_list = [[5, 2, 3, 1], [1], [4, 4, 4], [3, 3, 3, 1, 1, 1], [0, 2, 0, 2, 4]]
    lengths_list += [[rng.randint(1, size) for _ in range(count)] for size, count in [(4, 30), (16, 60), (9, 40), (33, 80)]]
    for lengths in lengths_list:
        size = 4 if max(lengths) <= 5 else max(lengths)
        # A token is document · 100 + place, so that where it went can be read.
        documents = [[index * 100 + place for place in range(length)] for index, length in enumerate(lengths)]
        table = pa.table({"input_ids": pa.array(documents, pa.list_(pa.int64()))})
        best_fit = _pack_bfd(table, size).to_pydict()
        cases.append({
            "lengths": lengths, "max_length": size,
            "bfd": best_fit["input_ids"], "bfd_lengths": best_fit["seq_lengths"],
            "wrapped": _pack_wrapped(table, size).to_pydict()["input_ids"],
        })
    return cases


def split_cases():
    specs = ["train", "train[:10%]", "train[10%:]", "train[10:20]", "train[-5%:]", "train[:-5]", "train[-5:]", "train[5:3]",
             "train[:0]", "train[50%:100%]", "train[33%:66%]", "train[1_0:]", "train[:1000]", "train[-1000:2]", "train[10%:20]",
             "train[:10%](pct1_dropremainder)", "train[:10%](closest)", "train[:10%]+train[90%:]", "train[:]", "train[-50%:50%]"]
    refused = ["train[10]", "test", "train[:10.5%]", "train[:101%]", "train[:10](closest)", "train[:10%](up)", "", "train[a:b]",
               "train [:10]"]
    cases = []
    for rows in [0, 1, 5, 10, 25, 99, 150, 1013]:
        for spec in specs:
            try:
                ranges = [[part.from_, part.to] for part in ReadInstruction.from_spec(spec).to_absolute({"train": rows})]
            except ValueError:
                ranges = None
            cases.append({"split": spec, "rows": rows, "ranges": ranges})
    for spec in refused:
        try:
            ReadInstruction.from_spec(spec).to_absolute({"train": 10})
            raise AssertionError(f"{spec} was accepted")
        except ValueError:
            cases.append({"split": spec, "rows": 10, "ranges": None})
    return cases


def schedule_cases():
    cases = []
    for kind in ["cosine", "linear", "constant", "constant_with_warmup"]:
        for total, warmup in [(1, 0.03), (10, 0.0), (10, 0.03), (17, 0.5), (100, 0.1), (7, 1.0), (20, 5)]:
            with tempfile.TemporaryDirectory() as folder:
                arguments = TrainingArguments(folder, warmup_steps=warmup, report_to="none", use_cpu=True)
            optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=2e-4)
            warmup_count = arguments.get_warmup_steps(total) if warmup != 1.0 else total
            scheduler = get_scheduler(kind, optimizer, num_warmup_steps=warmup_count, num_training_steps=total)
            rates = []
            for _ in range(total):
                rates.append(optimizer.param_groups[0]["lr"])
                optimizer.step()
                scheduler.step()
            cases.append({"kind": kind, "total": total, "warmup": warmup, "warmup_count": warmup_count, "rates": rates})
    return cases


class Recorder(TrainerCallback):
    def __init__(self):
        self.saves, self.epochs = [], []

    def on_step_end(self, args, state, control, **kwargs):
        self.epochs.append(state.epoch)

    def on_save(self, args, state, control, **kwargs):
        self.saves.append(state.global_step)


class Probe(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.batches = []

    def forward(self, row):
        self.batches.append(row.tolist())
        return {"loss": (self.weight * row.float()).mean()}


def step_cases():
    """Which rows a real Trainer gives to which step, in the file's order."""
    cases = []
    for rows, per_batch, accumulation, epochs, max_steps, strategy, save_steps in [
        (10, 2, 2, 2, -1, "epoch", 500), (5, 2, 2, 3, -1, "steps", 2), (1, 4, 8, 2, -1, "no", 500),
        (12, 2, 3, 1, -1, "steps", 0.4), (7, 1, 3, 1.5, -1, "epoch", 500), (9, 2, 2, 1, 7, "epoch", 500),
        (9, 2, 2, 1, 7, "steps", 3), (4, 1, 1, 2, -1, "steps", 500), (6, 2, 2, 0.3, -1, "epoch", 500),
    ]:
        model, recorder = Probe(), Recorder()
        with tempfile.TemporaryDirectory() as folder:
            arguments = TrainingArguments(
                folder, per_device_train_batch_size=per_batch, gradient_accumulation_steps=accumulation, num_train_epochs=epochs,
                max_steps=max_steps, save_strategy=strategy, save_steps=save_steps, report_to="none", use_cpu=True,
                train_sampling_strategy="sequential", disable_tqdm=True, logging_strategy="no")
            Trainer(model, arguments, train_dataset=[{"row": row} for row in range(rows)], callbacks=[recorder]).train()
        batches, per_step = list(model.batches), []
        in_epoch = -(-rows // per_batch)
        done = 0
        while done < len(batches):
            count = min(accumulation, in_epoch - done % in_epoch)
            per_step.append(batches[done:done + count])
            done += count
        assert len(per_step) == len(recorder.epochs)
        cases.append({"rows": rows, "per_batch": per_batch, "accumulation": accumulation, "epochs": epochs, "max_steps": max_steps,
                      "save_strategy": strategy, "save_steps": save_steps, "steps": per_step,
                      "epochs_after": recorder.epochs, "saves": recorder.saves})
    return cases


def main():
    byte_level, byte_fallback = DATA / "byte_level", DATA / "byte_fallback"
    make_byte_level(byte_level)
    make_byte_fallback(byte_fallback)
    save("tokenizer.json", {folder.name: tokenizer_cases(folder) for folder in [byte_level, byte_fallback]})
    save("chat.json", chat_cases(byte_level))
    save("rows.json", row_cases(byte_level))
    save("packing.json", packing_cases())
    save("split.json", split_cases())
    save("schedule.json", schedule_cases())
    save("steps.json", step_cases())


if __name__ == "__main__":
    main()
