"""Quantises all linear layers of a base model with bitsandbytes on the CPU: bitsandbytes_load.py <folder> <threads>."""

import json
import resource
import sys
import time
from pathlib import Path

import bitsandbytes
import torch
from bitsandbytes.functional import quantize_4bit
from safetensors import safe_open

folder, threads = Path(sys.argv[1]), int(sys.argv[2])
torch.set_num_threads(threads)


def cpu_seconds():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


wall, cpu = time.perf_counter(), cpu_seconds()
for path in sorted(folder.glob("*.safetensors")):
    with safe_open(path, framework="pt") as file:
        for name in file.keys():
            if "proj" in name:
                quantize_4bit(file.get_tensor(name), compress_statistics=True, quant_type="nf4", blocksize=64)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(
    json.dumps(
        {
            "wallS": time.perf_counter() - wall,
            "cpuS": cpu_seconds() - cpu,
            "peakBytes": peak,
            "text": f"bitsandbytes {bitsandbytes.__version__}, torch {torch.__version__}",
            "checksum": 0,
        }
    )
)
