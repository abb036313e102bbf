"""Every rate of transformers' schedules that take arguments, for several lengths and warm-ups."""

import itertools
import json

import torch
from transformers import get_scheduler

RATE = 2e-4
KINDS = [
    ("cosine", {}), ("cosine", {"num_cycles": 1.25}), ("cosine_with_restarts", {}), ("cosine_with_restarts", {"num_cycles": 3}),
    ("cosine_with_min_lr", {"min_lr": 2e-5}), ("cosine_with_min_lr", {"min_lr_rate": 0.25, "num_cycles": 1.5}),
    ("cosine_warmup_with_min_lr", {"min_lr_rate": 0.1}),
    ("cosine_warmup_with_min_lr", {"min_lr": 1e-5, "warmup_lr_rate": 0.05, "num_cycles": 0.75}), ("polynomial", {}), ("polynomial", {"power": 2.5, "lr_end": 1e-6}), ("inverse_sqrt", {}), ("inverse_sqrt", {"timescale": 40}),
    ("warmup_stable_decay", {"num_decay_steps": 2}),
    ("warmup_stable_decay", {"num_decay_steps": 4, "num_stable_steps": 3, "decay_type": "linear", "min_lr_ratio": 0.1}),
    ("warmup_stable_decay", {"num_decay_steps": 5, "warmup_type": "cosine", "decay_type": "1-sqrt", "min_lr_ratio": 0.02}),
    ("warmup_stable_decay", {"num_decay_steps": 30, "warmup_type": "1-sqrt", "num_cycles": 1.0}),
]
LENGTHS = [1, 2, 9, 26]
WARMUPS = [0, 1, 7]


def write(path):
    cases = []
    for (kind, arguments), total, warmup in itertools.product(KINDS, LENGTHS, WARMUPS):
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=RATE)
        schedule = get_scheduler(kind, optimizer, warmup, total, dict(arguments))
        rates = []
        for _ in range(total - 1):
            rates.append(schedule.get_last_lr()[0])
            optimizer.step()
            schedule.step()
        rates.append(schedule.get_last_lr()[0])
        cases.append({"kind": kind, "arguments": arguments, "total": total, "warmup": warmup, "rates": rates})
    lines = ",\n".join(json.dumps(case) for case in cases)
    path.write_text(f'{{"learning_rate": {RATE}, "cases": [\n{lines}\n]}}\n')


if __name__ == "__main__":
    from pathlib import Path

    write(Path(__file__).parents[1] / "schedules.json")
