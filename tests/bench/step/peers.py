"""AdamW with clipping in numpy and in torch (fused, CPU), on as many elements; prints JSON: peers.py ELEMENTS ROUNDS THREADS"""
import json
import sys
import time

import numpy as np
import torch

elements, rounds, threads = (int(text) for text in sys.argv[1:4])
torch.set_num_threads(threads)
BETA1, BETA2, EPSILON, RATE, DECAY, MAX_NORM = 0.9, 0.999, 1e-8, 2e-4, 0.001, 0.3
random = np.random.default_rng(9)
gradient = random.standard_normal(elements, dtype=np.float32)
result = {}


def timed(name, part):
    cpu, wall = time.process_time(), time.perf_counter()
    part()
    found = {"cpuS": time.process_time() - cpu, "wallS": time.perf_counter() - wall}
    least = result.get(name, found)
    result[name] = {key: min(found[key], least[key]) for key in found}


def with_numpy():
    p, m, v = (np.zeros(elements, np.float32) for _ in range(3))

    def step(t):
        norm = float(np.sqrt(np.sum(np.square(gradient, dtype=np.float64)))) if elements < 10**7 else float(
            np.linalg.norm(gradient)
        )
        g = gradient * np.float32(min(1, MAX_NORM / (norm + 1e-6)))
        np.multiply(m, np.float32(BETA1), out=m)
        m[:] += np.float32(1 - BETA1) * g
        np.multiply(v, np.float32(BETA2), out=v)
        v[:] += np.float32(1 - BETA2) * g * g
        correction2 = (1 - BETA2**t) ** 0.5
        root = np.sqrt(v)
        root += np.float32(EPSILON * correction2)
        p[:] -= np.float32(RATE * correction2 / (1 - BETA1**t)) * (m / root)
        np.multiply(p, np.float32(1 - RATE * DECAY), out=p)

    for round in range(rounds):
        timed("numpy", lambda: step(round + 1))


def with_torch():
    p = torch.zeros(elements, requires_grad=True)
    optimizer = torch.optim.AdamW([p], lr=RATE, betas=(BETA1, BETA2), eps=EPSILON, weight_decay=DECAY, fused=True)

    def step():
        p.grad = torch.from_numpy(gradient)
        torch.nn.utils.clip_grad_norm_([p], MAX_NORM)
        optimizer.step()

    for _ in range(rounds + 1):
        timed("torch", step)


with_numpy()
with_torch()
versions = {"numpy": np.__version__, "torch": torch.__version__}
print(json.dumps({"times": result, "versions": versions}))
