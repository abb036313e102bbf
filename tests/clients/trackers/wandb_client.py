"""The example run (example_run.ts) through W&B's own client, as transformers' callback uses it."""

import math
import os
import time

os.environ |= {"WANDB_API_KEY": "0123456789abcdef0123456789abcdef01234567", "WANDB_SILENT": "true"}

import wandb

settings = wandb.Settings(console="off", x_disable_stats=True, save_code=False, disable_git=True)
config = {
    "model": "org/tiny",
    "seed": 42,
    "lora.target_modules": ["q_proj", "v_proj"],
    "training.learning_rate": 2e-4,
    "dataset.packing": True,
    "fleet.local_steps": None,
}
run = wandb.init(
    project="tutorial", name="Größe 7: a run", tags=["qlora"], group="g", id="ftjob-example", config=config, settings=settings
)
run.define_metric("train/global_step")
run.define_metric("*", step_metric="train/global_step", step_sync=True)
rows = [
    {"train/loss": 2.5, "train/learning_rate": 2e-4, "train/grad_norm": 0.75, "train/epoch": 0.5, "train/global_step": 1},
    {"train/loss": 1.25, "train/learning_rate": 1e-4, "train/grad_norm": 0.5, "train/epoch": 1, "train/global_step": 2},
    {"eval/loss": 1.5, "eval/mean_token_accuracy": 0.625, "train/epoch": 1, "train/global_step": 2},
    {"train/loss": math.nan, "train/learning_rate": 5e-5, "train/grad_norm": math.inf, "train/global_step": 3},
    {"train/loss": 0.5, "train/learning_rate": 0, "train/grad_norm": -math.inf, "train/global_step": 4},
]
for row in rows:
    run.log(row)
    time.sleep(4)
time.sleep(75)  # a heartbeat
run.summary["train_loss"] = 1.0625
run.summary["train_runtime"] = 6
run.finish()
