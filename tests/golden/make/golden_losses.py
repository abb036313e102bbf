"""Loss and LoRA gradients of the first micro-batch of gqa_tied under other losses than the plain sum."""

import torch
from safetensors.torch import save_file
from transformers.trainer_pt_utils import LabelSmoother

import golden_ladder

CASE, FACTOR, WEIGHTS = "gqa_tied", 0.1, [0.5, 1.0, 2.75]


def smoothed(logits, batch):
    """transformers' LabelSmoother; the goldens' targets are shifted already, and a count of 1 leaves the sum."""
    loss = LabelSmoother(epsilon=FACTOR)({"logits": logits[None]}, batch["targets"][None], num_items_in_batch=1)
    return loss, {"factor": torch.tensor([FACTOR])}


def weighted(logits, batch):
    """A weight for each of the documents."""
    weights = torch.tensor(WEIGHTS)[torch.unique(batch["segment_starts"], return_inverse=True)[1]]
    losses = torch.nn.functional.cross_entropy(
        logits, batch["targets"], ignore_index=golden_ladder.IGNORED, reduction="none"
    )
    return (weights * losses).sum(), {"weights": weights}


def write(folder, root):
    folder.mkdir(exist_ok=True)
    for name, loss_of in {"label_smoothing": smoothed, "row_weights": weighted}.items():
        case = golden_ladder.CASES[CASE]
        model = golden_ladder.load_quantized(root / CASE / "model", case["double_quantization"])
        model = golden_ladder.put_lora(case, model)
        batch = golden_ladder.make_batches(case)[0]
        loss, facts = loss_of(golden_ladder.forward(model, batch).logits[0], batch)
        loss.backward()
        gradients = {key: parameter.grad.clone() for key, parameter in golden_ladder.lora_parameters(model).items()}
        save_file({"loss": loss.detach().reshape(1)} | facts | gradients, folder / f"{name}.safetensors")
