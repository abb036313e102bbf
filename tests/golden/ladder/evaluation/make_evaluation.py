"""What transformers' Trainer.evaluate makes of validation rows: NF4 base and tuned adapter of the ladder's cases, all rows in one
batch, so that its mean is one over tokens."""

import json
import sys
import tempfile
from pathlib import Path

import numpy
import torch
from peft import PeftModel
from transformers import Trainer, TrainingArguments

HERE = Path(__file__).parent
LADDER = HERE.parent
sys.path.append(str(LADDER.parent / "make"))

import flat_dequantize
from golden_ladder import CASES, load_quantized

NAMES = ["gqa_tied", "qwen2_rslora"]
ROWS, LONGEST, IGNORED = 20, 38, -100


def make_rows(case):
    """Rows of 2 to 38 tokens; a prompt of up to two thirds is not counted. A third of the answers repeat one token."""
    generator = torch.Generator().manual_seed(300 + case["seed"])
    rows = []
    for index in range(ROWS):
        length = 2 + int(torch.randint(0, LONGEST - 1, (1,), generator=generator))
        tokens = torch.randint(0, case["config"].vocab_size, (length,), generator=generator).tolist()
        prompt = int(torch.randint(0, max(1, 2 * length // 3), (1,), generator=generator))
        rows.append({"tokens": tokens, "prompt": max(1, prompt)})
    return rows


def learn_answers(model, rows):
    """Every second row's answer becomes what the model itself says: an accuracy of zero would test little."""
    model.eval()
    with torch.no_grad():
        for row in rows[::2]:
            for at in range(row["prompt"], len(row["tokens"]), 2):
                logits = model(input_ids=torch.tensor([row["tokens"][:at]])).logits[0, -1]
                row["tokens"][at] = int(logits.argmax())


def collate(rows):
    longest = max(len(row["tokens"]) for row in rows)
    padded = lambda values, filler: values + [filler] * (longest - len(values))
    labels = [[IGNORED] * row["prompt"] + row["tokens"][row["prompt"]:] for row in rows]
    return {
        "input_ids": torch.tensor([padded(row["tokens"], 0) for row in rows]),
        "attention_mask": torch.tensor([padded([1] * len(row["tokens"]), 0) for row in rows]),
        "labels": torch.tensor([padded(row_labels, IGNORED) for row_labels in labels]),
    }


def accuracy(outcome):
    predictions, labels = outcome.predictions[:, :-1], outcome.label_ids[:, 1:]
    counted = labels != IGNORED
    return {
        "correct": int(numpy.sum((predictions == labels) & counted)),
        "labels": int(numpy.sum(counted)),
    }


def evaluate(name):
    case = CASES[name]
    base = load_quantized(LADDER / name / "model", case["double_quantization"])
    model = PeftModel.from_pretrained(base, LADDER / name / "adapter")
    rows = make_rows(case)
    learn_answers(model, rows)
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            model=model,
            args=TrainingArguments(
                output_dir=folder, per_device_eval_batch_size=ROWS, report_to="none", use_cpu=True,
                remove_unused_columns=False,
            ),
            data_collator=collate,
            eval_dataset=rows,
            compute_metrics=accuracy,
            preprocess_logits_for_metrics=lambda logits, labels: logits.argmax(dim=-1),
        )
        outcome = trainer.evaluate()
    return {
        "rows": rows,
        "eval_loss": outcome["eval_loss"],
        "correct": outcome["eval_correct"],
        "labels": outcome["eval_labels"],
    }


if __name__ == "__main__":
    flat_dequantize.install()
    torch.set_num_threads(1)
    goldens = {name: evaluate(name) for name in NAMES}
    (HERE / "evaluation.json").write_text(json.dumps(goldens) + "\n")
