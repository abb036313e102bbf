"""Makes the goldens of tests/golden anew, but for data/. See its README.md; requirements.txt has the versions."""

import os
import sys
from importlib.metadata import version
from pathlib import Path

# One thread and one order of sets: the same bytes every time.
FIXED = {"PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1", "TORCHDYNAMO_DISABLE": "1", "HF_HUB_OFFLINE": "1"}
if any(os.environ.get(key) != value for key, value in FIXED.items()):
    os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | FIXED)

import torch

torch.set_num_threads(1)
torch.use_deterministic_algorithms(True)

import flat_dequantize

flat_dequantize.install()

import golden_ladder
from losses import golden_losses, golden_pissa
import golden_merge
import golden_nf4
import golden_outer
import golden_peft_config
import golden_peft_modules
import golden_regex
import golden_rope
import golden_schedules

HERE = Path(__file__).parent
GOLDENS = HERE.parent


def check_versions():
    for line in (HERE / "requirements.txt").read_text().split():
        name, wanted = line.split("==")
        if version(name).split("+")[0] != wanted:
            sys.exit(f"{name} is {version(name)}, requirements.txt says {wanted}")


if __name__ == "__main__":
    check_versions()
    golden_nf4.write(GOLDENS / "nf4.safetensors")
    golden_rope.write(GOLDENS / "rope.safetensors")
    golden_regex.write(GOLDENS / "regex.json")
    golden_outer.write(GOLDENS / "outer_sgd.json")
    golden_schedules.write(GOLDENS / "schedules.json")
    golden_peft_config.write(GOLDENS / "peft_config")
    golden_peft_modules.write(GOLDENS / "peft_modules.json")
    golden_ladder.write(GOLDENS / "ladder")
    golden_losses.write(GOLDENS / "losses", GOLDENS / "ladder")
    golden_pissa.write(GOLDENS / "losses" / "pissa", GOLDENS / "ladder")
    golden_ladder.write_answers(GOLDENS)
    golden_merge.write(GOLDENS)
