"""Twelve steps of torch.optim.SGD with Nesterov's momentum: DiLoCo's outer optimizer, with the paper's values and others."""

import json

import torch

SIZE, STEPS, REPLICAS, EXPONENT = 16, 12, 4, -20
CASES = [{"learning_rate": 0.7, "momentum": 0.9}, {"learning_rate": 1.0, "momentum": 0.0}, {"learning_rate": 0.4, "momentum": 0.5}]


def write(path):
    torch.manual_seed(3)
    cases = []
    for case in CASES:
        start = torch.randn(SIZE)
        # Sums as workers hold them: whole numbers. Their mean gradient is exact in f32.
        sums = torch.randint(-(2**21), 2**21, (STEPS, SIZE), dtype=torch.int32)
        parameter = torch.nn.Parameter(start.clone())
        # PyTorch refuses nesterov without momentum, where both are the same.
        optimizer = torch.optim.SGD(
            [parameter], lr=case["learning_rate"], momentum=case["momentum"], nesterov=case["momentum"] > 0
        )
        after = []
        for step in sums:
            parameter.grad = step.float() * 2.0**EXPONENT / REPLICAS
            optimizer.step()
            after.append(parameter.detach().tolist())
        cases.append(case | {
            "replicas": REPLICAS, "exponent": EXPONENT, "start": start.tolist(), "sums": sums.tolist(), "after": after,
        })
    path.write_text(json.dumps(cases) + "\n")


if __name__ == "__main__":
    from pathlib import Path

    write(Path(__file__).parents[1] / "outer_sgd.json")
